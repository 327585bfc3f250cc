"""One progress bar for a whole run, counted in optimiser steps."""

import time
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import RichProgressBar
from rich.progress import BarColumn, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text
from torch import Tensor
from typing_extensions import override

from contextrast.errors import check_number
from contextrast.terminal import PLAIN, console

SHOWN = {"train/loss": "loss", "val/miou": "mIoU"}
"""Logged names that the bar shows, and under which."""


class StepsProgressBar(RichProgressBar):
    """Lightning's rich bar over the run's steps; the stock bar starts anew with every epoch.

    Shows the loss and the mIoU of the last validation. Values are read from the device at most once in
    ``seconds_between_values``, as each read waits for it. Where the output is no terminal (a file, a CI log), a line
    is printed after every validation and once in ``seconds_between_lines``.

    Args:
        seconds_between_values: Shortest time between two updates of the shown values.
        seconds_between_lines: Shortest time between two lines where the output is no terminal.
        **options: Passed to ``RichProgressBar``.

    Raises:
        ConfigError: If there is no such time.
    """

    def __init__(
        self, seconds_between_values: float = 1.0, seconds_between_lines: float = 30.0, **options: Any
    ) -> None:
        check_number("seconds_between_values", seconds_between_values)
        check_number("seconds_between_lines", seconds_between_lines)
        super().__init__(**options | {"console_kwargs": PLAIN | options.get("console_kwargs", {})})
        self.seconds_between_values = seconds_between_values
        self.seconds_between_lines = seconds_between_lines
        self._total: int | float = 0
        self._values_at = float("-inf")
        self._line_at = time.monotonic()

    @override
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._total = trainer.estimated_stepping_batches
        super().on_train_start(trainer, pl_module)

    @override
    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.is_enabled and self.train_progress_bar_id is None:
            # of one width with the other description, so that the bars stand in line
            self.train_progress_bar_id = self._add_task(self._total, f"{'Training':{len(self.validation_description)}}")
            self._update(self.train_progress_bar_id, trainer.global_step)

    @override
    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self.is_disabled:
            return
        self._update(self.train_progress_bar_id, trainer.global_step)
        now = time.monotonic()
        if now - self._values_at >= self.seconds_between_values or trainer.global_step == self._total:
            self._values_at = now
            self._update_metrics(trainer, pl_module)
        if now - self._line_at >= self.seconds_between_lines:
            self._print_line(trainer, pl_module)

    @override
    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Nothing: epochs do not matter to a run that is counted in steps."""

    @override
    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        super().on_validation_end(trainer, pl_module)
        if self.is_enabled and trainer.state.fn == "fit" and not trainer.sanity_checking:
            self._print_line(trainer, pl_module)

    @override
    def configure_columns(self, trainer: pl.Trainer) -> list[ProgressColumn]:
        """A bar that leaves room for the values in a terminal of 80 columns, steps, time left, and speed."""
        return [
            TextColumn("{task.description}", markup=False),
            BarColumn(max(10, min(40, console().width - 65)), style="dim"),
            TextColumn("{task.completed:.0f}/{task.total:.0f}"),
            TimeRemainingColumn(elapsed_when_finished=True),
            SpeedColumn(),
        ]

    @override
    def get_metrics(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Any]:
        """The values of `SHOWN` that have been logged, as text."""
        logged: dict[str, Tensor] = trainer.callback_metrics
        return {short: readable(short, logged[name].item()) for name, short in SHOWN.items() if name in logged}

    def _print_line(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._line_at = time.monotonic()
        if self.progress is not None and not self.progress.console.is_terminal:
            values = [f"{name} {value}" for name, value in self.get_metrics(trainer, pl_module).items()]
            self.progress.console.print("  ".join([f"step {trainer.global_step}/{self._total}", *values]))


class SpeedColumn(ProgressColumn):
    """How fast it goes: in steps a second, or seconds a step where these are more."""

    @override
    def render(self, task: Task) -> Text:
        """Nothing before the first steps."""
        speed = task.finished_speed or task.speed
        if not speed:
            return Text("")
        return Text(f"{speed:.1f}/s" if speed >= 1 else f"{1 / speed:.1f} s each", style="dim")


def readable(name: str, value: float) -> str:
    """A value as the bar shows it: mIoU in percent, everything else with three decimals."""
    return f"{100 * value:.1f}%" if name == "mIoU" else f"{value:.3f}"
