"""The anchor update: what outlives a step moves on once after every optimiser step."""

from typing import TYPE_CHECKING, Any, cast

import lightning.pytorch as pl
from typing_extensions import override

if TYPE_CHECKING:
    from contextrast.training.module import SegmentationModule


class AnchorUpdate(pl.Callback):
    """Calls the loss's ``update()`` once after every optimiser step: running anchors, warm-up of α, draws.

    Under gradient accumulation several batches make one step. The state itself lives in the loss's buffers, so it is
    saved, resumed and moved between devices with the module.
    """

    def __init__(self) -> None:
        self._step = 0

    @override
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start counting where the run starts or resumes."""
        self._step = trainer.global_step

    @override
    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Update if this batch completed an optimiser step."""
        if trainer.global_step != self._step:
            self._step = trainer.global_step
            cast("SegmentationModule", pl_module).update_loss()
