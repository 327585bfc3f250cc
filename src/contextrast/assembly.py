"""From a composed configuration to the objects of a run."""

from collections.abc import Mapping, Sequence
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.loggers import Logger
from omegaconf import DictConfig

from contextrast.checkpoint_files import CheckpointFiles
from contextrast.class_weights import with_class_weights
from contextrast.config import instantiate, plain
from contextrast.data import SegmentationDataModule
from contextrast.models import Segmenter, use_float32_depthwise_backward
from contextrast.module import SegmentationModule

_DESCRIBES_A_RUN = ("data", "model", "loss", "module", "optimizer", "scheduler", "seed")


def build_datamodule(config: Mapping[str, Any] | DictConfig) -> SegmentationDataModule:
    """The data module of a ``data`` configuration."""
    datamodule: SegmentationDataModule = instantiate(config)
    return datamodule


def build_module(
    config: DictConfig, datamodule: SegmentationDataModule, loss_settings: Mapping[str, Any] | None = None
) -> SegmentationModule:
    """Network, loss, optimiser and schedule of a training configuration, for the data's classes.

    Args:
        config: The composed configuration.
        datamodule: Made of its ``data``.
        loss_settings: Of the run that is resumed, whose class weights need not be counted again; else those of the
            configuration.

    Raises:
        ConfigError: If parts do not fit together, such as a batch of one with a network that cannot train on it.
    """
    labels = datamodule.labels
    network: Segmenter = instantiate(config.model, num_classes=labels.num_classes)
    network.check_batch_size(datamodule.batch_size, config.data.crop)
    if config.channels_last:
        network = network.to(memory_format=torch.channels_last)
    use_float32_depthwise_backward(network)
    # What a loss draws for its own parameters must not move the draws that follow: runs of one seed then see the same
    # dropout whatever the loss, so that their difference is that of the losses.
    settings = {key: value for key, value in plain(config).items() if key in _DESCRIBES_A_RUN}
    with torch.random.fork_rng(devices=[]):
        settings["loss"] = loss_settings or with_class_weights(settings["loss"], datamodule)
        loss = instantiate(settings["loss"], num_classes=labels.num_classes, in_channels=list(network.stage_channels))
    if config.compile.network:  # the parts, as training does not call the network as a whole
        network.forward_training = torch.compile(network.forward_training)  # type: ignore[method-assign]
    if config.compile.loss:
        loss.compile()
    return SegmentationModule(
        network,
        loss,
        labels,
        optimizer=instantiate(config.optimizer),
        scheduler=instantiate(config.scheduler),
        config=settings | {"labels": labels.to_dict()},
        **config.module,
    )


def build_trainer(config: DictConfig, loggers: Sequence[Logger], callbacks: Sequence[pl.Callback]) -> pl.Trainer:
    """Lightning's trainer; the interval between validations is at most the run, so that each run has one.

    Raises:
        MisconfigurationException: If Lightning knows no such device or strategy, or this machine has none.
    """
    options = plain(config)
    batches = options["max_steps"] * options["accumulate_grad_batches"]
    if batches > 0 and isinstance(options["val_check_interval"], int):
        options["val_check_interval"] = min(options["val_check_interval"], batches)
    try:
        trainer: pl.Trainer = instantiate(options | {"_partial_": True})(
            logger=list(loggers), callbacks=list(callbacks), plugins=[CheckpointFiles()]
        )
    except (ImportError, ValueError) as error:  # an unknown name, or a device whose package is missing
        raise MisconfigurationException(str(error)) from error
    return trainer
