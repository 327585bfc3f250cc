"""Stops a trial that is not worth its time."""

import lightning.pytorch as pl
import optuna
from typing_extensions import override


class Pruning(pl.Callback):
    """Reports mIoU to a trial after each validation, and ends the run where the study's pruner says so.

    Optuna's own callback for Lightning is written for Lightning before version 2.

    Args:
        trial: The trial that this run is.
        monitor: What is reported.

    Attributes:
        pruned: Whether the run was ended.
    """

    def __init__(self, trial: optuna.Trial, monitor: str = "val/miou") -> None:
        self.trial = trial
        self.monitor = monitor
        self.pruned = False

    @override
    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Report, and decide unless this was the last validation.

        Raises:
            TrialPruned: If the trial has no prospects.
        """
        if trainer.sanity_checking or trainer.state.fn != "fit" or self.monitor not in trainer.callback_metrics:
            return
        self.trial.report(float(trainer.callback_metrics[self.monitor]), trainer.global_step)
        if trainer.global_step < trainer.max_steps and self.trial.should_prune():
            self.pruned = True
            raise optuna.TrialPruned(f"step {trainer.global_step}: no prospects")
