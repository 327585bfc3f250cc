"""From a composed configuration to the objects of a run."""

from collections.abc import Mapping
from typing import Any

import torch
from omegaconf import DictConfig

from contextrast.config import instantiate, plain
from contextrast.data import SegmentationDataModule
from contextrast.data.labels import LabelTable
from contextrast.module import SegmentationModule

# What evaluation and prediction need to rebuild the network and the data; everything else describes the training.
_RECORDED = ("data", "model", "loss", "module", "optimizer", "scheduler", "seed")


def build_datamodule(config: Mapping[str, Any] | DictConfig) -> SegmentationDataModule:
    """The data module of a ``data`` configuration."""
    datamodule: SegmentationDataModule = instantiate(config)
    return datamodule


def build_module(config: DictConfig, labels: LabelTable) -> SegmentationModule:
    """Network, loss, optimiser and schedule of a training configuration, for the classes of ``labels``."""
    network = instantiate(config.model, num_classes=labels.num_classes)
    if config.channels_last:
        network = network.to(memory_format=torch.channels_last)
    loss = instantiate(config.loss, num_classes=labels.num_classes, in_channels=list(network.stage_channels))
    recorded = {key: value for key, value in plain(config).items() if key in _RECORDED}
    return SegmentationModule(
        network,
        loss,
        labels,
        optimizer=instantiate(config.optimizer),
        scheduler=instantiate(config.scheduler),
        config=recorded,
        **config.module,
    )
