"""Mean IoU and its relatives from one confusion matrix over a whole split."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torchmetrics.classification import MulticlassConfusionMatrix

from contextrast.metrics.counts import confusion_counts, iou_from_counts, to_ids


class Scores(NamedTuple):
    """Scores of a split, as fractions in [0, 1]. N is the number of classes.

    A class that occurs neither in the labels nor in the predictions is absent: its entries are NaN, no mean counts it.

    Attributes:
        miou: mean of ``iou`` over the classes that are not absent; NaN where there is none. Scalar.
        pixel_accuracy: share of labelled pixels that are predicted correctly. Scalar.
        mean_accuracy: mean of ``accuracy`` over the classes that occur in the labels. Scalar.
        iou: TP / (TP + FP + FN) of each class, NaN where that divides by zero. [N]
        accuracy: TP / (TP + FN), the recall of each class, NaN where a class has no labelled pixel. [N]
        confusion: pixels of class ``row`` that were predicted as class ``column``. int64 [N, N]
        missed: pixels of each class whose predicted id is no class; 0 where predictions came as logits. int64 [N]
    """

    miou: Tensor
    pixel_accuracy: Tensor
    mean_accuracy: Tensor
    iou: Tensor
    accuracy: Tensor
    confusion: Tensor
    missed: Tensor

    def by_name(self, classes: Sequence[str]) -> dict[str, Tensor]:
        """The scalars as they are logged: three means, and ``iou/CLASS`` of each of the N class names."""
        means = {name: getattr(self, name) for name in ("miou", "pixel_accuracy", "mean_accuracy")}
        return means | {f"iou/{name}": iou for name, iou in zip(classes, self.iou, strict=True)}


def scores_from_counts(confusion: Tensor, missed: Tensor) -> Scores:
    """Turn summed counts into scores.

    Args:
        confusion: pixels of class ``row`` that were predicted as class ``column``. int64 [N, N]
        missed: pixels of each class with a predicted id outside 0..N-1. int64 [N]

    Returns:
        Scores in float64, on the device of the counts. Nothing is read on the host.
    """
    labelled, correct = confusion.sum(1) + missed, confusion.diagonal().double()
    iou = iou_from_counts(torch.cat([confusion, missed[:, None]], 1))
    accuracy = correct / labelled
    return Scores(
        miou=iou.nanmean(),
        pixel_accuracy=correct.sum() / labelled.sum(),
        mean_accuracy=accuracy.nanmean(),
        iou=iou,
        accuracy=accuracy,
        confusion=confusion,
        missed=missed,
    )


class SegmentationScores(MulticlassConfusionMatrix):  # type: ignore[misc]  # mypy does not follow torchmetrics
    """Dataset-wide segmentation scores, counted on the device that holds the predictions.

    Counts of all images are summed before any division, as the benchmarks of CamVid, Cityscapes and ADE20K do.
    (``torchmetrics.segmentation.MeanIoU`` averages per-image scores, a different number.) Both states are sums, so
    several processes reduce to exactly the counts of one. An update neither waits for the device nor reads a value.

    Args:
        num_classes: N, at least 2.
        ignore_index: label that takes part in nothing. Any other label outside 0..N-1 is left out in the same way:
            values are checked where samples are loaded, as a check here would have to wait for the device.
        **kwargs: passed to ``torchmetrics.Metric``, for example ``sync_on_compute``.

    Example:
        >>> scores = SegmentationScores(num_classes=2)
        >>> scores.update(torch.tensor([[[0, 1, 1, 1]]]), torch.tensor([[[0, 0, 1, 255]]]))
        >>> scores.compute().iou
        tensor([0.5000, 0.5000], dtype=torch.float64)
    """

    missed: Tensor

    def __init__(self, num_classes: int, ignore_index: int = 255, **kwargs: Any) -> None:
        super().__init__(num_classes, ignore_index=ignore_index, validate_args=False, **kwargs)
        self.add_state("missed", torch.zeros(num_classes, dtype=torch.long), dist_reduce_fx="sum")

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Count one batch.

        Args:
            preds: logits, floating point [B, N, H, W], or predicted ids, integer [B, H, W]. An id outside 0..N-1 is
                a false negative of the labelled class and a false positive of none.
            target: train ids. Integer [B, H, W].

        Raises:
            ValueError: if the shapes do not belong together.
        """
        counts = confusion_counts(to_ids(preds, target, self.num_classes), target, self.num_classes, self.ignore_index)
        self.confmat += counts[:, :-1]
        self.missed += counts[:, -1]

    def compute(self) -> Scores:
        """Return the scores of everything counted since the last ``reset()``, over all processes."""
        return scores_from_counts(self.confmat, self.missed)
