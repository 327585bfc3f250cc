"""Which parameters are optimised how, and over how many steps the schedule runs."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import lightning.pytorch as pl
from timm.optim import param_groups_layer_decay
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from contextrast.errors import ConfigError, check_number

OptimizerFactory = Callable[..., Optimizer]
"""Makes an optimiser of parameter groups."""

SchedulerFactory = Callable[..., LRScheduler]
"""Makes a schedule of an optimiser."""


def parameter_groups(
    parts: Mapping[str, tuple[Iterable[nn.Parameter], float]], lr: float, weight_decay: float
) -> list[dict[str, Any]]:
    """Optimiser groups of the given parts, two a part: with and without weight decay.

    Args:
        parts: For each part's name its parameters and the ratio of its learning rate to ``lr``. A parameter belongs to
            the first part that holds it.
        lr: Base learning rate.
        weight_decay: Weight decay of weights; norms, biases and other one-dimensional parameters get none.

    Returns:
        Groups with ``params``, ``lr``, ``weight_decay`` and ``name``; empty groups and frozen parameters are left out.
    """
    groups: list[dict[str, Any]] = []
    taken: set[int] = set()
    for name, (parameters, ratio) in parts.items():
        decayed: list[nn.Parameter] = []
        plain: list[nn.Parameter] = []
        for parameter in parameters:
            if not parameter.requires_grad or id(parameter) in taken:
                continue
            taken.add(id(parameter))
            (decayed if parameter.ndim > 1 else plain).append(parameter)
        for suffix, params, decay in (("", decayed, weight_decay), ("/no_decay", plain, 0.0)):
            if params:
                groups.append({"params": params, "lr": lr * ratio, "weight_decay": decay, "name": name + suffix})
    return groups


def layers_of(encoder: nn.Module, decay: float, ratio: float = 1.0) -> dict[str, tuple[list[nn.Parameter], float]]:
    """The layers of an encoder, each with a learning rate of its own: layer-wise decay, as BEiT's recipe has it.

    The layers are those that timm's networks say they have: the stem, each block, and what is behind them.

    Args:
        encoder: One of timm's networks, or what holds one.
        decay: The rate of a layer relative to that of the next deeper one, above 0 and at most 1.
        ratio: That of the deepest layer to the base learning rate.

    Returns:
        For each rate, the lowest first, its parameters and its ratio to the base learning rate, as `parameter_groups`
        takes them.

    Raises:
        ConfigError: If it is no such number, or the network tells no layers.
    """
    check_number("module.layer_decay", decay, 0, 1, above=True)
    network = next((part for part in encoder.modules() if hasattr(part, "group_matcher")), None)
    if network is None:
        raise ConfigError(
            "module.layer_decay: this encoder does not tell its layers. Choose one of timm's (model.encoder=tu-NAME), "
            "or leave it out; module.encoder_lr_ratio is for whole encoders."
        )
    groups = param_groups_layer_decay(network, layer_decay=decay)
    scales = sorted({group["lr_scale"] for group in groups})
    return {
        f"encoder/layer{number}": (
            [parameter for group in groups if group["lr_scale"] == scale for parameter in group["params"]],
            ratio * scale / scales[-1],  # parts behind the maps, as a head that is not used, are layers to timm, too
        )
        for number, scale in enumerate(scales)
    }


def to_clip(optimizer: OptimizerFactory, trainer: pl.Trainer) -> dict[str, Any]:
    """What an optimiser needs to be told beside its own arguments for its gradients to be clipped.

    Fused optimisers unscale gradients in their step, which is too late where the trainer scales them.

    Args:
        optimizer: Makes it; a partial with its arguments.
        trainer: The run's.
    """
    scales = getattr(trainer.precision_plugin, "scaler", None) is not None
    fused = getattr(optimizer, "keywords", {}).get("fused")
    return {"fused": None} if fused and scales and trainer.gradient_clip_val else {}


def run_lengths(scheduler: SchedulerFactory, trainer: pl.Trainer) -> dict[str, int]:
    """Arguments of a schedule that stand for the length of the run, which has to be asked for where epochs end it.

    They are those with the value of ``trainer.max_steps``, -1 included.

    Args:
        scheduler: Makes the schedule; a partial with its arguments.
        trainer: The run's.

    Returns:
        For each of them the number of steps that the trainer expects.

    Raises:
        ConfigError: If the schedule needs a length and the run has none.
    """
    if trainer.max_epochs == -1 and trainer.max_steps != -1:
        return {}  # steps alone decide: the data need not be asked
    given = {key: value for key, value in getattr(scheduler, "keywords", {}).items() if key != "last_epoch"}
    lengths = [key for key, value in given.items() if type(value) is int and value == trainer.max_steps]
    if not lengths:
        return {}
    steps = trainer.estimated_stepping_batches
    if not isinstance(steps, int):
        raise ConfigError(
            f"scheduler.{lengths[0]}={trainer.max_steps} stands for the length of the run, which has none. Give it one "
            "with trainer.max_steps=N or trainer.max_epochs=N, or choose scheduler=constant."
        )
    return dict.fromkeys(lengths, steps)
