"""The generators that dropout draws from: kept in checkpoints, so that a resumed run draws what it would have drawn."""

from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor
from typing_extensions import override

from contextrast.contrast.collective import gather_ranks, rank


class RandomState(pl.Callback):
    """Saves torch's generators with every checkpoint, those of all processes, and sets them before the next step.

    Order and augmentation of the samples and the draws of the losses are functions of seed and step; dropout and
    stochastic depth draw from generators, from which nothing else draws between two steps.
    """

    def __init__(self) -> None:
        self._to_set: list[Tensor] = []

    @override
    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Set the generators of a resumed run, before its first one."""
        if self._to_set:
            _set_states(self._to_set, pl_module.device)
            self._to_set = []

    @override
    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Add the generators, one row per process."""
        states = self._to_set or _states(pl_module.device)
        rows = [gather_ranks(state.to(pl_module.device)).cpu() for state in states]
        checkpoint["random_state"] = {"generators": rows}

    @override
    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Take the generators of this process; a checkpoint of another number of processes has them for some."""
        saved = checkpoint.get("random_state", {"generators": []})
        # torch takes a state only if it is a tensor of its own, no view of a row
        self._to_set = [rows[rank() % len(rows)].clone() for rows in saved["generators"]]


def _states(device: torch.device) -> list[Tensor]:
    """The CPU's generator, and that of the device where it has its own."""
    states = [torch.get_rng_state()]
    if device.type == "cuda":
        states.append(torch.cuda.get_rng_state(device))
    return states


def _set_states(states: list[Tensor], device: torch.device) -> None:
    torch.set_rng_state(states[0])
    if device.type == "cuda" and len(states) > 1:
        torch.cuda.set_rng_state(states[1], device)
