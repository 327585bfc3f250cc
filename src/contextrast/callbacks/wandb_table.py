"""A table of predictions in W&B, to be sorted by how well each image went."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, cast

import lightning.pytorch as pl
import numpy as np
import torch
from typing_extensions import override

from contextrast.callbacks.pictures import boundary_picture, sampling_of, spread
from contextrast.data import SegmentationDataset
from contextrast.metrics import scores_from_counts
from contextrast.metrics.counts import confusion_counts

if TYPE_CHECKING:
    from contextrast.contrast import BoundaryAwareNegatives
    from contextrast.runs.loggers import RunWandb
    from contextrast.training.module import SegmentationModule


class PredictionsTable(pl.Callback):
    """Logs ``predictions`` to W&B when training ends, one row per image.

    Columns: name, image, ground truth, prediction, error boundary, ``mIoU`` (over the classes that occur in the image's
    labels or prediction), pixel accuracy, and ``worst class`` with its IoU. Fractions in 0..1; W&B sorts by any.

    Args:
        logger: The record; its ``table_images`` says how many images, spread evenly over the validation split.
    """

    def __init__(self, logger: "RunWandb") -> None:
        self.logger = logger

    @override
    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Predict and log, in one process; a run that was interrupted has no table."""
        if not trainer.is_global_zero or not self.logger.table_images or trainer.interrupted:
            return
        from contextrast.reporting import wandb_media  # noqa: PLC0415  (imports wandb)

        module = cast("SegmentationModule", pl_module)
        dataset: SegmentationDataset = trainer.datamodule.dataset("val")  # type: ignore[attr-defined]
        negatives, training = sampling_of(module.loss), module.network.training
        module.network.eval()
        with torch.inference_mode(), trainer.precision_plugin.forward_context():
            indices = spread(len(dataset), self.logger.table_images)
            rows = [_row(dataset, index, module, negatives) for index in indices]
        module.network.train(training)
        with TemporaryDirectory() as folder:
            table = wandb_media.predictions(rows, dataset.labels, Path(folder))
            self.logger.log_metrics({wandb_media.TABLE: cast("Any", table)}, step=trainer.global_step)


def _row(
    dataset: SegmentationDataset, index: int, module: "SegmentationModule", negatives: "BoundaryAwareNegatives"
) -> dict[str, Any]:
    """What a row of `wandb_media.predictions` needs."""
    sample = dataset[index]
    guess = module.predict(sample["image"][None].to(module.device)).max(dim=1).indices
    counts = confusion_counts(guess, sample["mask"][None].to(guess.device), dataset.labels.num_classes)
    scores = scores_from_counts(counts[:, :-1], counts[:, -1])
    image, target = dataset.shown(sample["image"].permute(1, 2, 0).numpy()), sample["mask"].numpy()
    prediction = guess[0].cpu().numpy()
    boundary = boundary_picture(image, target, prediction, dataset.labels.num_classes, negatives)
    iou = scores.iou.cpu().numpy()
    worst = None if np.isnan(iou).all() else int(np.nanargmin(iou))
    return {
        "name": sample["name"],
        "image": image,
        "target": target,
        "prediction": prediction,
        "boundary": boundary,
        "miou": float(scores.miou),
        "pixel_accuracy": float(scores.pixel_accuracy),
        "worst": worst,
        "worst_iou": None if worst is None else float(iou[worst]),
    }
