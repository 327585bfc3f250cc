"""Per-class scores and the confusion matrix, in the run folder and in W&B."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import lightning.pytorch as pl
from lightning.pytorch.loggers import WandbLogger
from typing_extensions import override

from contextrast.metrics import Scores
from contextrast.reporting.figures import confusion_figure
from contextrast.reporting.picture_files import write_chart

if TYPE_CHECKING:
    from contextrast.training.module import SegmentationModule


class MetricTables(pl.Callback):
    """Draws the confusion matrix into ``<directory>/confusion_<split>.png``; logs it and a per-class table to W&B.

    W&B gets ``<split>/per_class`` (class, IoU, accuracy, as fractions) and ``<split>/confusion_matrix``, its own
    interactive chart. Without a W&B logger wandb is not imported.

    Args:
        directory: Folder of the picture.
    """

    def __init__(self, directory: str | Path) -> None:
        self.directory = Path(directory)
        self._reported: tuple[str, int] | None = None

    @override
    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Report the validation, before the module starts to count anew."""
        if not trainer.sanity_checking:
            self._report(trainer, cast("SegmentationModule", pl_module), "val")

    @override
    def on_test_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Report the test, before the module starts to count anew."""
        self._report(trainer, cast("SegmentationModule", pl_module), "test")

    def _report(self, trainer: pl.Trainer, module: "SegmentationModule", split: str) -> None:
        scores: Scores = module.scores.compute()  # by every process: this is what brings their counts together
        step = trainer.global_step
        if not trainer.is_global_zero or self._reported == (split, step):
            return
        self._reported = (split, step)
        classes = module.labels.classes
        counts, title = scores.confusion.cpu().numpy(), f"{split}, step {step}"
        self.directory.mkdir(parents=True, exist_ok=True)
        write_chart(self.directory / f"confusion_{split}.png", confusion_figure(counts, classes, title))
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                from contextrast.reporting import wandb_media  # noqa: PLC0415  (imports wandb)

                content: dict[str, Any] = {
                    f"{split}/per_class": wandb_media.per_class(scores, classes),
                    f"{split}/confusion_matrix": wandb_media.confusion_chart(counts, classes, title),
                }
                logger.log_metrics(content, step=step)
