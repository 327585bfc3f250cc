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
    stochastic depth draw from generators. Torch's loader takes a draw from them, too, whenever it starts workers. A run
    starts those of validation once, and once more after each resumption; so from its second one on, a validation leaves
    the generators as it found them.
    """

    def __init__(self) -> None:
        self._validated = False
        self._stepped: list[Tensor] = []
        self._to_set: list[Tensor] = []

    @override
    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Set the generators of a resumed run, now that its loaders have started their workers."""
        if self._to_set:
            _set_states(self._to_set, pl_module.device)
            self._to_set = []

    @override
    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Remember the generators, in case that a validation follows."""
        self._stepped = _states(pl_module.device)

    @override
    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Undo what a validation drew, unless it is the run's first one."""
        if trainer.state.fn != "fit" or trainer.sanity_checking:
            return
        if self._validated and self._stepped:
            _set_states(self._stepped, pl_module.device)
        self._validated = True

    @override
    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Add the generators, one row per process."""
        states = self._to_set or _states(pl_module.device)
        rows = [gather_ranks(state.to(pl_module.device)).cpu() for state in states]
        checkpoint["random_state"] = {"generators": rows, "validated": self._validated}

    @override
    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Take the generators of this process; a checkpoint of another number of processes has them for some."""
        saved = checkpoint.get("random_state", {"generators": [], "validated": False})
        # torch takes a state only if it is a tensor of its own, no view of a row
        self._to_set = [rows[rank() % len(rows)].clone() for rows in saved["generators"]]
        self._validated = saved["validated"]


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
