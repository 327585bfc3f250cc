"""Boundary IoU (Cheng et al., CVPR 2021), summed over a split of semantic maps."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from contextrast.errors import check_number
from contextrast.metrics.counts import histogram, is_class, to_ids
from contextrast.metrics.measure import Measure, Report


def band_width(height: int, width: int, ratio: float) -> int:
    """The distance d in pixels that counts as near the outline: a share of the image's diagonal, at least 1."""
    return max(1, round(ratio * math.sqrt(height**2 + width**2)))


def inner_bands(labels: Tensor, distance: int) -> Tensor:
    """Pixels whose Chebyshev distance to the outside of their own class's mask is at most d; the border is outside.

    For each class the mask without its erosion, repeated d times, by a full 3x3 element. A pixel stays in the erosion
    if the square of 2d + 1 pixels around it lies in the image and has one value, whichever, so that all classes
    are eroded at once.

    Args:
        labels: Any integers ``[B, H, W]``.
        distance: d in pixels, at least 1.

    Returns:
        Boolean ``[B, H, W]``.
    """
    height, width = labels.shape[1:]
    band = torch.ones_like(labels, dtype=torch.bool)
    side = 2 * distance + 1
    if min(height, width) >= side:
        constant = _extreme(labels, side, torch.maximum) == _extreme(labels, side, torch.minimum)
        band[:, distance : height - distance, distance : width - distance] = ~constant
    return band


def boundary_counts(prediction: Tensor, target: Tensor, ratio: float, num_classes: int) -> Tensor:
    """Intersection and union of the inner bands of labels and predictions.

    Bands are those of the masks over the whole image, so that an outline next to ignored pixels counts; then ignored
    pixels leave both bands. (The tools for instances take the smaller of mask IoU and boundary IoU; this does not.)

    Args:
        prediction: Predicted ids, integer ``[B, H, W]``.
        target: Train ids, integer ``[B, H, W]``; others than 0..N-1 are ignored.
        ratio: d as a share of the image's diagonal.
        num_classes: N.

    Returns:
        int64 ``[2, N]``.
    """
    height, width = target.shape[1:]
    distance = band_width(height, width, ratio)
    valid = is_class(target, num_classes)
    # Small integers, as the bands read each pixel many times.
    target, prediction = torch.where(valid, target.short(), -1), prediction.short()
    labelled = inner_bands(target, distance) & valid
    predicted = inner_bands(prediction, distance) & valid & is_class(prediction, num_classes)
    both = histogram(target, labelled & predicted & (target == prediction), num_classes)
    either = histogram(target, labelled, num_classes) + histogram(prediction, predicted, num_classes) - both
    return torch.stack([both, either])


class BoundaryIoU(Measure):
    """Boundary IoU of each class: intersections and unions summed over the images, then divided.

    Not to be confused with `BandMeanIoU` (B-mIoU), which is an IoU over the ground truth's boundary alone.

    Args:
        num_classes: N.
        ratio: Width of the band as a share of the image's diagonal. 0.02 is that of COCO and LVIS, 0.005 that of the
            tools for Cityscapes.
        **kwargs: Passed to ``torchmetrics.Metric``.

    Raises:
        ConfigError: If the ratio is not above 0 and at most 1.
    """

    counts: Tensor

    def __init__(self, num_classes: int, ratio: float = 0.02, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_number("ratio", ratio, 0, 1, above=True)
        self.num_classes = num_classes
        self.ratio = ratio
        self.add_state("counts", torch.zeros(2, num_classes, dtype=torch.long), dist_reduce_fx="sum")

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Count one batch; see `Measure`."""
        prediction = to_ids(preds, target, self.num_classes)
        self.counts += boundary_counts(prediction, target, self.ratio, self.num_classes)

    def compute(self) -> Tensor:
        """Boundary IoU of each class, float64 ``[N]``; NaN where no band has a pixel."""
        return self.counts[0].double() / self.counts[1]

    def report(self, classes: Sequence[str]) -> Report:  # noqa: ARG002  # names come with the table
        """Score ``boundary_iou`` and the classes' values."""
        iou: Tensor = self.compute()
        return Report(
            convention=f"IoU of the inner bands of labelled and predicted masks, {self.ratio:g} of the diagonal wide; "
            "outlines next to ignored pixels and the image's border count, ignored pixels do not",
            scores={"boundary_iou": iou.nanmean().item()},
            per_class={"boundary_iou": iou.tolist()},
        )


def _extreme(values: Tensor, side: int, extreme: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Maximum or minimum over all squares of a side that lie in the image, by doubling: ``[B, H-side+1, W-side+1]``."""
    for axis in (1, 2):
        covered = 1
        while covered < side:
            step = min(covered, side - covered)
            length = values.shape[axis] - step
            values = extreme(values.narrow(axis, 0, length), values.narrow(axis, step, length))
            covered += step
    return values
