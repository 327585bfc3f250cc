"""The state a run ended in, stopped in, or was killed in."""

import logging
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from typing_extensions import override

from contextrast.callbacks.interruption import Interruption, RunStopped
from contextrast.checkpoints.files import keep_previous
from contextrast.errors import ConfigError
from contextrast.runs.loggers import ROW
from contextrast.signals import exit_code

log = logging.getLogger(__name__)


class LastCheckpoint(pl.Callback):
    """Saves a checkpoint after every validation, every so many steps and after the last one, always under one name.

    Lightning's ``ModelCheckpoint(save_last=True)`` rewrites ``last.ckpt`` only when the monitored score improved, so
    its last checkpoint may be an early one. Comparisons of losses need the true last.

    A run goes on exactly from between two steps, so that is where it saves: under gradient accumulation not between
    the batches of a step, and where a validation follows after it. SIGINT, SIGTERM, SIGHUP and SIGUSR1 save at the end
    of the step that is being done and end the process with an exit code that a scheduler can tell from success and
    failure. Whoever is impatient sends one three times, and gets the end without the save.

    Other callbacks that keep state after a step, `AnchorUpdate` and `RandomState`, have to come before this one.

    Args:
        path: The file; each save replaces the one before.
        every_n_steps: Steps between two saves; None saves after validations alone.
        previous: How many of the replaced ones to keep, ``last-1.ckpt`` the newest.
        exit_code: Of a process that SIGTERM or SIGUSR1 stopped; SIGINT and SIGHUP have the shells' 130 and 129.

    Raises:
        ConfigError: If a number cannot work.
    """

    def __init__(
        self, path: str | Path, every_n_steps: int | None = None, previous: int = 1, exit_code: int = 143
    ) -> None:
        if every_n_steps is not None and every_n_steps < 1:
            raise ConfigError(f"every_n_steps={every_n_steps} of the last checkpoint has to be at least 1, or null.")
        if previous < 0:
            raise ConfigError(f"previous={previous} of the last checkpoint has to be at least 0.")
        if not 1 <= exit_code <= 255:
            raise ConfigError(f"exit_code={exit_code} of the last checkpoint has to be between 1 and 255.")
        self.path = Path(path)
        self.every_n_steps = every_n_steps
        self.previous = previous
        self.exit_code = exit_code
        self._saved_at: int | None = None
        self._step = 0
        self._between_steps = True
        self._owed = False
        self._interruption = Interruption()

    @override
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start counting where the run starts or resumes, and listen to signals."""
        self._step = trainer.global_step
        self._between_steps = True
        self._interruption.watch()

    @override
    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save if it is time to, and stop if a signal asked for it.

        Raises:
            SystemExit: After a signal.
        """
        self._between_steps = trainer.global_step != self._step
        self._step = trainer.global_step
        if not self._between_steps:
            return
        if self._interruption.agreed(trainer):
            self._save(trainer)
            if not _validation_follows(trainer):  # its scores would be missing from the curves
                self._leave(trainer)
        elif not _validation_follows(trainer) and (self._due() or self._step == trainer.max_steps):
            self._save(trainer)

    @override
    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save what was just measured.

        Raises:
            SystemExit: After a signal.
        """
        if trainer.state.fn != "fit" or trainer.sanity_checking:
            return
        if not self._between_steps:
            self._owed = True
            return
        self._saved_at = None  # what was saved before the validation lacks that it took place
        self._save(trainer)
        if self._interruption.agreed(trainer):
            self._leave(trainer)

    @override
    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save what the last step made, if that was not done: where something else than ``max_steps`` ended the run."""
        self._interruption.ignore()
        self._save(trainer)

    @override
    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Leave signals alone again. Nothing is saved: where an error comes from, a step is half done.

        A run that stops has saved, and further signals are not to disturb how it ends.
        """
        if not isinstance(exception, RunStopped):
            self._interruption.ignore()

    @override
    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Keep the step's row of the curves, which Lightning writes after the checkpoint: a kill may come between."""
        every: int = trainer.log_every_n_steps  # type: ignore[attr-defined]  # the trainer gets it from its connector
        if trainer.training and trainer.global_step % every == 0:
            row = trainer._logger_connector.metrics["log"]  # the public ones are of all steps
            checkpoint[ROW] = {"epoch": trainer.current_epoch} | {name: float(value) for name, value in row.items()}

    def _due(self) -> bool:
        return self._owed or (self.every_n_steps is not None and self._step % self.every_n_steps == 0)

    def _save(self, trainer: pl.Trainer) -> None:
        if self._saved_at == trainer.global_step:
            return
        if trainer.is_global_zero:
            keep_previous(self.path, self.previous)
        trainer.save_checkpoint(self.path, weights_only=False)  # the optimiser too
        self._saved_at, self._owed = trainer.global_step, False

    def _leave(self, trainer: pl.Trainer) -> None:
        number = self._interruption.first
        code = self.exit_code if number is None else exit_code(number, self.exit_code)
        if trainer.is_global_zero:
            log.warning(
                "%s: the run stops after step %d, which %s holds, with exit code %d. It goes on with resume=%s",
                "A signal to another process" if number is None else number.name,
                trainer.global_step, self.path, code, self.path.parents[1],
            )  # fmt: skip
        raise RunStopped(code)


def _validation_follows(trainer: pl.Trainer) -> bool:
    """Whether Lightning validates after this batch, by the interval in batches that it was given."""
    every = trainer.val_check_batch
    if not trainer.enable_validation or every is None or every == float("inf"):
        return False
    loop, in_all = trainer.fit_loop, trainer.check_val_every_n_epoch is None
    batches = (loop.total_batch_idx if in_all else loop.batch_idx) + 1
    return batches % int(every) == 0
