"""The run folder's JSON files: where a run took place, and what it reached."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import lightning.pytorch as pl
import torch
from typing_extensions import override

from contextrast.callbacks.costs import StepClock, WaitClock, forget_peak_memory, peak_memory
from contextrast.callbacks.summary import count_parameters
from contextrast.reporting.tables import scores_to_dict
from contextrast.runs.files import environment, write_json

if TYPE_CHECKING:
    from contextrast.training.module import SegmentationModule


class RunFiles(pl.Callback):
    """Writes ``environment.json`` before a run and ``metrics.json`` after it.

    ``metrics.json`` holds the scores of the last step with per-class values and confusion matrix, the best mIoU of all
    validations, and what the run cost: the parameters of the deployed network and of what exists in training only, the
    seconds of training, the median seconds of a step, the share of the time between steps in which the host waited for
    data, and the peak of memory in bytes. It appears when the last step
    has been validated, in the run or by ``trainer.validate`` after it, and not when the run stops with an error.

    Args:
        directory: The run folder.
    """

    def __init__(self, directory: str | Path) -> None:
        self.directory = Path(directory)
        self._began = time.monotonic()
        self._before = 0.0
        self._clock = StepClock(torch.device("cpu"))
        self._waits = WaitClock()
        self._costs: dict[str, Any] = {}
        self._last: dict[str, Any] | None = None
        self._best: dict[str, Any] | None = None

    @override
    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Write ``environment.json``."""
        if trainer.is_global_zero and stage == "fit":
            write_json(self.directory / "environment.json", environment())

    @override
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clocks."""
        forget_peak_memory(pl_module.device)
        self._clock = StepClock(pl_module.device)
        self._waits = WaitClock()
        self._began = time.monotonic()

    @override
    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Time the batch."""
        self._waits.start()
        self._clock.start()

    @override
    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """The batch is done, what other callbacks make of it included."""
        self._clock.stop()
        self._waits.stop()

    @override
    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop the clocks."""
        deployed = count_parameters(pl_module.get_submodule("network"))
        self._costs = {
            "train_seconds": round(self._elapsed(), 2),
            "step_seconds": self._clock.median(trainer.accumulate_grad_batches),
            "waiting_share": self._waits.share(),
            "peak_memory_bytes": peak_memory(pl_module.device),
            "parameters": {"deployed": deployed, "training_only": count_parameters(pl_module) - deployed},
        }

    @override
    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """What lies between the batches around a validation is no wait for data."""
        self._waits.interrupt()

    @override
    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Keep the scores, before the module starts to count anew."""
        if trainer.sanity_checking:
            return
        module = cast("SegmentationModule", pl_module)
        self._last = {"step": trainer.global_step, **scores_to_dict(module.scores.compute(), module.labels.classes)}
        reached = {key: self._last[key] for key in ("step", "miou")}
        if self._best is None or (reached["miou"] or 0.0) > (self._best["miou"] or 0.0):
            self._best = reached

    @override
    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write ``metrics.json`` if this validation is not a part of training."""
        if trainer.state.fn == "validate":
            self._write(trainer)

    @override
    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write ``metrics.json`` if the last step was validated, or there is no validation."""
        if not trainer.enable_validation:
            self._last = {"split": None, "step": trainer.global_step, "miou": None}
        if self._last is not None and self._last["step"] == trainer.global_step:
            self._write(trainer)

    @override
    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs to know of its first part."""
        return {"best": self._best, "train_seconds": self._elapsed()}

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with the first part's best score and time."""
        self._best, self._before = state_dict["best"], state_dict["train_seconds"]

    def _elapsed(self) -> float:
        return self._before + time.monotonic() - self._began

    def _write(self, trainer: pl.Trainer) -> None:
        if trainer.is_global_zero and self._last is not None:
            content = {"split": "val", **self._costs, "best": self._best, **self._last}
            write_json(self.directory / "metrics.json", content)
