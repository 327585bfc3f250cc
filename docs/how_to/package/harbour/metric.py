"""A measure of one's own."""

from collections.abc import Sequence

import torch
from torch import Tensor

from contextrast.metrics import Measure, Report
from contextrast.metrics.counts import confusion_counts, iou_from_counts, to_ids


class WorstClass(Measure):
    """IoU of the class that is segmented worst. It needs ``preds`` and ``target``, which is the default.

    Args:
        num_classes: N.
        at_least: Classes with fewer labelled pixels are not looked at.
    """

    counts: Tensor

    def __init__(self, num_classes: int, at_least: int = 1) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.at_least = at_least
        counts = torch.zeros(num_classes, num_classes + 1, dtype=torch.long)
        self.add_state("counts", counts, dist_reduce_fx="sum")

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Count one batch."""
        self.counts += confusion_counts(to_ids(preds, target, self.num_classes), target, self.num_classes, 255)

    def compute(self) -> Tensor:
        """The IoU of each class, NaN where it has too few pixels, float64 ``[N]``."""
        return torch.where(self.counts.sum(1) >= self.at_least, iou_from_counts(self.counts), torch.nan)

    def report(self, classes: Sequence[str]) -> Report:
        """The score ``worst_class``, and which class that is."""
        iou: Tensor = self.compute()
        worst = int(iou.nan_to_num(2.0).argmin())
        return Report(
            convention=f"the lowest IoU of a class with at least {self.at_least} labelled pixels",
            scores={"worst_class": iou[worst].item()},
            details={"class": classes[worst]},
        )
