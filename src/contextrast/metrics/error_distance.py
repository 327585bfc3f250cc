"""How near misclassified pixels are to their own class, by their distance to the error boundary.

The analysis of Contextrast, Figure 5, and Contextrast++, Figure 14. Two passes over a split: `ClassMeans` finds the
anchors of the whole split, `ErrorCosine` compares the error pixels with them.
"""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import Metric

from contextrast.contrast.distance import exact_squared_distance, region_edges
from contextrast.contrast.rows import unit_length
from contextrast.contrast.segments import sums_of_segments
from contextrast.contrast.stages import as_rows, misclassified, to_grid
from contextrast.metrics.counts import histogram, is_class


class Means(NamedTuple):
    """The mean vector of each class at one stage.

    Attributes:
        vectors: float64 ``[N, C]``; zero for a class that does not occur.
        pixels: Pixels of each class, int64 ``[N]``.
    """

    vectors: Tensor
    pixels: Tensor

    def centre(self) -> Tensor:
        """Mean of the class means ``[C]``: every class that occurs counts alike, however few its pixels are."""
        return self.vectors.sum(0) / (self.pixels > 0).sum().clamp_min(1)


class ClassMeans(Metric):  # type: ignore[misc]  # mypy does not follow torchmetrics
    """Mean vector of each class over a whole split (Contextrast, Eq. 1, with the split in the place of the batch).

    Args:
        num_classes: N.
        channels: C.
        **kwargs: Passed to ``torchmetrics.Metric``.
    """

    full_state_update = False  # states only ever grow by what a batch adds
    sums: Tensor
    pixels: Tensor

    def __init__(self, num_classes: int, channels: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_classes = num_classes
        self.add_state("sums", torch.zeros(num_classes, channels, dtype=torch.double), dist_reduce_fx="sum")
        self.add_state("pixels", torch.zeros(num_classes, dtype=torch.long), dist_reduce_fx="sum")

    def update(self, features: Tensor, target: Tensor) -> None:
        """Add one batch.

        Args:
            features: Features or embeddings ``[B, C, H_i, W_i]``.
            target: Train ids ``[B, H, W]`` of the images that they come from; others than 0..N-1 are ignored.
        """
        classes = _on_grid(target, features, self.num_classes).flatten()
        sums = sums_of_segments(as_rows(features).double(), classes, self.num_classes + 1)
        self.sums += sums[:-1]  # the last row collects ignored pixels
        self.pixels += histogram(classes, classes < self.num_classes, self.num_classes)

    def compute(self) -> Means:
        """The means of everything added since the last ``reset()``, over all processes."""
        return Means(self.sums / self.pixels.clamp_min(1).unsqueeze(1), self.pixels)


class ErrorCurve(NamedTuple):
    """Mean cosine of pixels to the anchor of their true class. Means of no pixel are NaN.

    Attributes:
        cosine: Of the error pixels at a distance d to the boundary of their error region, k <= d < k + 1 pixels of the
            stage's grid for entry k; the last entry has no upper end. float64 ``[bins]``
        pixels: How many pixels each of these means is over, int64 ``[bins]``.
        correct_cosine: Of the correctly classified pixels, for comparison. float64 scalar
        correct_pixels: How many they are, int64 scalar.
        boundless: Error pixels whose region fills its image, so that it has no boundary; they are in no mean.
            int64 scalar
    """

    cosine: Tensor
    pixels: Tensor
    correct_cosine: Tensor
    correct_pixels: Tensor
    boundless: Tensor


class ErrorCosine(Metric):  # type: ignore[misc]  # mypy does not follow torchmetrics
    """Mean cosine of error pixels to their true class's anchor, by the distance to the error boundary, for one stage.

    The error region of class n is the one that Contextrast's Eq. 6 prints: pixels of class n that are predicted as
    something else (the readings ``literal`` and ``others`` of `BoundaryAwareNegatives`). It belongs to the true class,
    whose anchor the figure is about, and holds every error pixel once; the reading ``predicted`` groups the same pixels
    by what they were mistaken for. Edge pixels of a region have a 4-neighbour outside of it (beyond the image border is
    not outside), and the distance of a pixel is that to the nearest edge pixel of its own region (Eq. 7), 0 at an edge.

    Args:
        anchors: A vector of each class ``[N, C]``; brought to unit length after the centre is taken off.
        centre: What is taken off vectors and anchors before their cosine, ``[C]``. Raw features share
            a large part whatever the class (behind a rectifier no cosine is below 0): with `Means.centre` of the same
            split taken off, 0 is the cosine of what has no more in common than any two classes, and networks can be
            compared. Embeddings, which the loss compares as they are, take zeros.
        bins: Number of distances; the last one takes all that are larger.
        **kwargs: Passed to ``torchmetrics.Metric``.
    """

    full_state_update = False  # states only ever grow by what a batch adds
    anchors: Tensor
    centre: Tensor
    sums: Tensor
    pixels: Tensor
    boundless: Tensor

    def __init__(self, anchors: Tensor, centre: Tensor, bins: int = 32, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_classes = len(anchors)
        self.bins = bins
        self.register_buffer("centre", centre, persistent=False)
        padded = F.pad(unit_length(anchors - centre, dim=1), (0, 0, 0, 1))  # ignored pixels meet an anchor of zeros
        self.register_buffer("anchors", padded, persistent=False)
        self.add_state("sums", torch.zeros(bins + 1, dtype=torch.double), dist_reduce_fx="sum")
        self.add_state("pixels", torch.zeros(bins + 1, dtype=torch.long), dist_reduce_fx="sum")
        self.add_state("boundless", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")

    def update(self, features: Tensor, preds: Tensor, target: Tensor) -> None:
        """Add one batch.

        Args:
            features: Features or embeddings ``[B, C, H_i, W_i]``.
            preds: Predicted ids ``[B, H, W]``.
            target: Train ids ``[B, H, W]``; others than 0..N-1 are ignored.
        """
        classes = _on_grid(target, features, self.num_classes)
        wrong = misclassified(classes, to_grid(preds, *features.shape[-2:]), self.num_classes)
        edges = region_edges(torch.where(wrong, classes, -1))
        # A region without an edge fills its image, so its image has no edge at all.
        boundless = wrong & ~edges.flatten(1).any(1)[:, None, None]
        distance = torch.bucketize(exact_squared_distance(edges), self._lower_ends(), right=True)
        cells = torch.where(wrong, distance, self.bins).flatten()  # correct pixels follow the last distance
        counted = ((classes < self.num_classes) & ~boundless).flatten()
        rows = as_rows(features)
        rows = unit_length(rows - self.centre.to(rows.dtype), dim=1)
        cosine = (rows * self.anchors.to(rows.dtype)[classes.flatten()]).sum(1)
        self.sums.index_add_(0, cells, torch.where(counted, cosine, 0).double())
        self.pixels += histogram(cells, counted, self.bins + 1)
        self.boundless += boundless.sum()

    def compute(self) -> ErrorCurve:
        """The curve of everything added since the last ``reset()``, over all processes."""
        cosine = self.sums / self.pixels  # 0 / 0 is NaN by IEEE 754
        return ErrorCurve(cosine[:-1], self.pixels[:-1], cosine[-1], self.pixels[-1], self.boundless)

    def _lower_ends(self) -> Tensor:
        """Squared distances at which the second entry of the curve and all that follow begin."""
        return torch.arange(1, self.bins, device=self.sums.device, dtype=torch.int32).square()


def _on_grid(target: Tensor, features: Tensor, num_classes: int) -> Tensor:
    """Train ids on the grid of a feature map, ``[B, H_i, W_i]``; N marks ignored pixels."""
    valid = is_class(target, num_classes)
    return to_grid(torch.where(valid, target.long(), num_classes), *features.shape[-2:])
