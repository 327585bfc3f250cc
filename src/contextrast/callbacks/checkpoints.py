"""The state a run ended in."""

from pathlib import Path

import lightning.pytorch as pl
from typing_extensions import override


class LastCheckpoint(pl.Callback):
    """Saves a checkpoint after every validation and after the last step, always under the same name.

    Lightning's ``ModelCheckpoint(save_last=True)`` rewrites ``last.ckpt`` only when the monitored score improved, so
    its last checkpoint may be an early one. Comparisons of losses need the true last.

    Args:
        path: The file; each save replaces the one before.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._saved_at: int | None = None

    @override
    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save what was just measured."""
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            self._save(trainer)

    @override
    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save what the last step made, if no validation followed it."""
        self._save(trainer)

    def _save(self, trainer: pl.Trainer) -> None:
        if self._saved_at != trainer.global_step:
            trainer.save_checkpoint(self.path, weights_only=False)  # the optimiser too
            self._saved_at = trainer.global_step
