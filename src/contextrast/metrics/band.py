"""B-mIoU: IoU over the pixels near the ground truth's class boundaries (Contextrast++, Eq. 15)."""

import math
from collections.abc import Sequence
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor

from contextrast.errors import ConfigError, check_number
from contextrast.metrics.counts import confusion_counts, iou_from_counts, is_class, to_ids
from contextrast.metrics.measure import Measure, Report

WIDEST: Final = 1000
"""Largest tau in pixels; the time goes with its square."""


def class_edges(target: Tensor, valid: Tensor) -> Tensor:
    """Edge pixels: valid pixels with a 4-neighbour that is valid and has another class.

    Edges against what is not valid, and the image's border, are no class boundaries.

    Args:
        target: Train ids, integer ``[B, H, W]``.
        valid: Which pixels have a class, boolean ``[B, H, W]``.

    Returns:
        Boolean ``[B, H, W]``.
    """
    vertical = (target[:, 1:] != target[:, :-1]) & valid[:, 1:] & valid[:, :-1]
    horizontal = (target[:, :, 1:] != target[:, :, :-1]) & valid[:, :, 1:] & valid[:, :, :-1]
    vertical, horizontal = F.pad(vertical, (0, 0, 1, 1)), F.pad(horizontal, (1, 1))
    return vertical[:, 1:] | vertical[:, :-1] | horizontal[:, :, 1:] | horizontal[:, :, :-1]


def boundary_band(target: Tensor, threshold: float, num_classes: int) -> Tensor:
    """Valid pixels whose Euclidean distance to the nearest edge pixel is below a threshold.

    Edge pixels have distance 0, so that a threshold of 1 gives the two-pixel-wide edge itself. The band depends on the
    ground truth alone, which makes the denominators of several models the same.

    Args:
        target: Train ids, integer ``[B, H, W]``; others than 0..N-1 are ignored.
        threshold: tau in pixels, above 0.
        num_classes: N.

    Returns:
        Boolean ``[B, H, W]``.
    """
    valid = is_class(target, num_classes)
    edges = class_edges(target, valid)
    height, width = edges.shape[1:]
    # Dilation by a disc of a few pixels: the distance itself, over a whole image, takes many times as long.
    reach = math.ceil(threshold) - 1
    padded = F.pad(edges, (reach, reach, reach, reach))
    near = edges.clone()
    for y in range(-reach, reach + 1):
        for x in range(-reach, reach + 1):
            if y * y + x * x < threshold * threshold:
                near |= padded[:, reach + y : reach + y + height, reach + x : reach + x + width]
    return near & valid


class BandMeanIoU(Measure):
    """B-mIoU(tau): plain mIoU over the pixels of `boundary_band`, counts summed over the images before any division.

    Not to be confused with `BoundaryIoU`, in which the prediction's own boundary takes part.

    Args:
        num_classes: N.
        thresholds: Values of tau in pixels, each above 0.
        **kwargs: Passed to ``torchmetrics.Metric``.

    Raises:
        ConfigError: If there is no threshold, or one is not above 0 and at most `WIDEST`.
    """

    counts: Tensor

    def __init__(self, num_classes: int, thresholds: Sequence[float] = (3,), **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not thresholds:
            raise ConfigError("thresholds needs pixels above 0, such as [1,3,5,9]; got none.")
        for threshold in thresholds:
            check_number("thresholds", threshold, 0, WIDEST, above=True)
        self.num_classes = num_classes
        self.thresholds = tuple(thresholds)
        counts = torch.zeros(len(thresholds), num_classes, num_classes + 1, dtype=torch.long)
        self.add_state("counts", counts, dist_reduce_fx="sum")

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Count one batch; see `Measure`."""
        prediction = to_ids(preds, target, self.num_classes)
        for place, threshold in enumerate(self.thresholds):
            inside = torch.where(boundary_band(target, threshold, self.num_classes), target, self.num_classes)
            self.counts[place] += confusion_counts(prediction, inside, self.num_classes)

    def compute(self) -> Tensor:
        """IoU in the band, float64 ``[thresholds, N]``; B-mIoU(tau) is the mean of a row without its NaNs."""
        return iou_from_counts(self.counts)

    def report(self, classes: Sequence[str]) -> Report:  # noqa: ARG002  # names come with the table
        """Scores ``b_miou_<tau>``, and IoUs of the classes in the band."""
        iou: Tensor = self.compute()
        names = [f"{threshold:g}" for threshold in self.thresholds]
        return Report(
            convention="mean IoU over the pixels whose Euclidean distance to the ground truth's nearest class boundary "
            "is below tau pixels (the number in the name); borders to ignored pixels are no boundaries",
            scores={f"b_miou_{name}": row.nanmean().item() for name, row in zip(names, iou, strict=True)},
            per_class={f"b_iou_{name}": row.tolist() for name, row in zip(names, iou, strict=True)},
        )
