"""From a composed configuration to the objects of a run."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from inspect import signature
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.loggers import Logger
from lightning.pytorch.strategies import Strategy, StrategyRegistry
from omegaconf import DictConfig, OmegaConf

from contextrast.arguments import check_arguments
from contextrast.checkpoints.contents import LOSSES, NETWORKS
from contextrast.checkpoints.files import CheckpointFiles, ReadCheckpoint
from contextrast.config import TYPED, Allowed, instantiate, plain
from contextrast.data import SegmentationDataModule
from contextrast.errors import ConfigError, first_line
from contextrast.models import Segmenter, use_float32_depthwise_backward
from contextrast.runs.settings import result_part
from contextrast.training.class_weights import with_class_weights
from contextrast.training.module import SegmentationModule
from contextrast.training.optimization import OptimizerFactory, SchedulerFactory


def build_datamodule(config: Mapping[str, Any] | DictConfig, within: Allowed = TYPED) -> SegmentationDataModule:
    """The data module of a ``data`` configuration.

    Args:
        config: The configuration.
        within: Where its classes may come from; one that came with a checkpoint gets less room.
    """
    datamodule: SegmentationDataModule = instantiate(config, within)
    return datamodule


def build_module(config: DictConfig, datamodule: SegmentationDataModule) -> SegmentationModule:
    """Network, loss, optimiser and schedule of a training configuration, for the data's classes.

    Args:
        config: The composed configuration.
        datamodule: Made of its ``data``; class weights that follow from the data are counted in it.

    Raises:
        ConfigError: If parts do not fit together, such as a batch of one with a network that cannot train on it.
    """
    labels = datamodule.labels
    # Held to what a checkpoint may name, so that no run ends with one that cannot be read.
    network: Segmenter = instantiate(config.model, NETWORKS, num_classes=labels.num_classes)
    network.check_batch_size(datamodule.batch_size, config.data.crop)
    if config.channels_last:
        network = network.to(memory_format=torch.channels_last)
    use_float32_depthwise_backward(network)
    settings = plain(config)
    # What a loss draws for its own parameters must not move the draws that follow: runs of one seed then see the same
    # dropout whatever the loss, so that their difference is that of the losses.
    with torch.random.fork_rng(devices=[]):
        settings["loss"] = with_class_weights(settings["loss"], datamodule)
        described_loss = OmegaConf.create({"loss": settings["loss"]}).loss  # under its key, which messages name
        loss = instantiate(
            described_loss, LOSSES, num_classes=labels.num_classes, in_channels=list(network.stage_channels)
        )
    if config.compile.network:
        network.compile_training()
    if config.compile.loss:
        loss.compile()
    optimizer, scheduler = instantiate(config.optimizer), instantiate(config.scheduler)
    _try_out(optimizer, scheduler)
    # The data as a whole: evaluation reads it from where it lay, in the way it was read.
    described = result_part(settings) | {"data": settings["data"]}
    options = dict(config.module)
    if config.compile.network or config.compile.loss:
        options["gradient_interval"] = None  # compiled backward passes give up their buffers, so a graph serves once
    return SegmentationModule(
        network,
        loss,
        labels,
        optimizer=optimizer,
        scheduler=scheduler,
        config=described | {"labels": labels.to_dict()},
        **options,
    )


def _try_out(optimizer: OptimizerFactory, scheduler: SchedulerFactory | None) -> None:
    """Make an optimiser and a schedule of one parameter: what they refuse shows before the first step.

    Raises:
        ConfigError: If one of them refuses its settings.
    """
    setting, parameter = "optimizer", torch.nn.Parameter(torch.zeros(1))
    try:
        made = optimizer([parameter])
        setting = "scheduler"
        if scheduler is not None:
            scheduler(made)
    except Exception as error:  # whatever others raise for settings that they do not like
        raise ConfigError(f"The settings of {setting} are refused: {first_line(error)}.") from error


def build_each(config: DictConfig, section: str) -> list[Any]:
    """The objects that a section of settings describes, in their order; null leaves one out, or all.

    Args:
        config: A command's composed configuration.
        section: ``callbacks`` or ``logger``.

    Raises:
        ConfigError: If an entry describes none.
    """
    entries = config.get(section)
    if entries is None:
        return []
    if not isinstance(entries, DictConfig):
        raise ConfigError(f"{section}={entries!r} is no section of settings. Choose a file of conf/{section}, or null.")
    for name, entry in entries.items():
        if not (entry is None or (isinstance(entry, DictConfig) and "_target_" in entry)):
            raise ConfigError(
                f"{section}.{name!s}={entry!r} describes no object: it has no _target_; null leaves it out."
            )
    return [instantiate(entry) for entry in entries.values() if entry is not None]


def build_trainer(
    config: DictConfig,
    loggers: Sequence[Logger],
    callbacks: Sequence[pl.Callback],
    resumed: ReadCheckpoint | None = None,
    validate: bool = True,
) -> pl.Trainer:
    """Lightning's trainer; the interval between validations is at most the run, so that each run has one.

    Args:
        config: Its settings; ``collective_timeout``, in seconds, is one of this package's.
        loggers: The run's records.
        callbacks: What happens around its steps.
        resumed: The checkpoint that it will be asked to go on from, which is then not read again.
        validate: Whether training is validated.

    Raises:
        MisconfigurationException: If Lightning knows no such device or strategy, or this machine has none.
    """
    options = plain(config)
    check_arguments(pl.Trainer, options, "trainer")
    batches = options["max_steps"] * options["accumulate_grad_batches"]
    if batches > 0 and isinstance(options["val_check_interval"], int):
        options["val_check_interval"] = min(options["val_check_interval"], batches)
    if not validate:
        options["limit_val_batches"] = 0
    timeout = options.pop("collective_timeout", None)
    try:
        strategy = {} if timeout is None else {"strategy": _strategy(options.pop("strategy"), timeout)}
        described = OmegaConf.create({"trainer": options | {"_partial_": True}}).trainer
        trainer: pl.Trainer = instantiate(described)(
            logger=list(loggers), callbacks=list(callbacks), plugins=[CheckpointFiles(resumed)], **strategy
        )
    except (ImportError, TypeError, ValueError) as error:  # an unknown name, or a device whose package is missing
        raise MisconfigurationException(str(error)) from error
    return trainer


def _strategy(name: str, timeout: float) -> Strategy | str:
    """Lightning's strategy of a name, whose processes wait for one another for so many seconds at most.

    Raises:
        ConfigError: If the time is none.
    """
    if not isinstance(timeout, int | float) or timeout <= 0:
        raise ConfigError(f"trainer.collective_timeout={timeout} has to be a number of seconds above 0, or null.")
    if name not in StrategyRegistry:
        return name  # Lightning says what it thinks of it
    kind, arguments = StrategyRegistry[name]["strategy"], StrategyRegistry[name]["init_params"]
    if "timeout" not in signature(kind).parameters:
        return name  # those of one process
    made: Strategy = kind(**arguments, timeout=timedelta(seconds=timeout))
    return made
