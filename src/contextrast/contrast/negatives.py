"""Boundary-aware negative sampling, BANE (Contextrast, section 3.3)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from contextrast.contrast.collective import any_over_ranks
from contextrast.contrast.distance import NO_EDGE, TRANSFORMS, region_edges
from contextrast.contrast.segments import order_by_segment
from contextrast.contrast.similarity import Similarities, assigned_similarities, shared_similarities
from contextrast.contrast.stages import (
    StageLabels,
    StagePixels,
    labels_of,
    mark_ignored,
    misclassified,
    segments_of,
)
from contextrast.errors import ConfigError, check_number

ERROR_MAPS = ("predicted", "others", "literal")


class BoundaryAwareNegatives(torch.nn.Module):
    """Negatives are misclassified pixels near the boundary of their error region (Contextrast, Eqs. 6 and 7).

    The printed Eq. 6 and the papers' text disagree about which errors serve which anchor, so the reading is an option:

    ========== ======================================== ===================================================
    error_map  region of anchor n                       negatives of anchor n
    ========== ======================================== ===================================================
    predicted  pixels mistaken for n                    the region's selected pixels
    others     pixels of n mistaken for something else  the selected pixels of every other class's region
    literal    pixels of n mistaken for something else  the region's own selected pixels
    ========== ======================================== ===================================================

    Of a region's M squared distances to its edge, in ascending order, the one at index ``(M - 1) * K // 100`` is the
    threshold; all pixels at or below it are selected. A region that fills its image has no edge and is selected whole.

    Args:
        percentage: K, between 0 and 100.
        error_map: One of the readings above.
        transform: ``exact`` (whole-number squared distances) or ``kornia`` (approximate, float).

    Raises:
        ConfigError: If an option has a value not listed here.
    """

    def __init__(self, percentage: int = 50, error_map: str = "predicted", transform: str = "exact") -> None:
        super().__init__()
        check_number("percentage", percentage, 0, 100)
        if error_map not in ERROR_MAPS:
            raise ConfigError(f"error_map must be one of {', '.join(ERROR_MAPS)}, got {error_map!r}")
        if transform not in TRANSFORMS:
            raise ConfigError(f"transform must be one of {', '.join(TRANSFORMS)}, got {transform!r}")
        self.percentage = percentage
        self.error_map = error_map
        self.transform = TRANSFORMS[transform]

    def forward(self, pixels: StagePixels, anchors: Tensor, temperature: float) -> Similarities:
        """Similarities of one stage's pixels to the anchors ``[N, D]``, with BANE's negatives."""
        selected = self.select_regions(pixels.classes, pixels.predictions, pixels.num_classes)
        if self.error_map != "others":
            return assigned_similarities(pixels, anchors, temperature, selected)
        classes = torch.arange(pixels.num_classes, device=selected.device)[:, None, None]
        is_negative = (selected >= 0).unsqueeze(1) & (selected.unsqueeze(1) != classes)
        return shared_similarities(pixels, anchors, temperature, is_negative)

    def assign(self, labels: StageLabels) -> Tensor | None:
        """The anchor that each pixel of all stages is a negative of, ``[P]`` int64 in 0 .. N, N for none.

        None where a pixel may be a negative of several.
        """
        return None if self.error_map == "others" else self._selected(labels)

    def select(self, target: Tensor, prediction: Tensor, num_classes: int, ignore_index: int | None = 255) -> Tensor:
        """Selected pixels of label maps at any resolution.

        Args:
            target: Ground truth ``[B, H, W]``.
            prediction: Predicted classes ``[B, H, W]``.
            num_classes: N.
            ignore_index: Label of pixels that take part in nothing.

        Returns:
            ``[B, H, W]`` int64: the class of the error region a selected pixel belongs to, -1 elsewhere.
        """
        return self.select_regions(mark_ignored(target, num_classes, ignore_index), prediction, num_classes)

    def select_regions(self, classes: Tensor, predictions: Tensor, num_classes: int) -> Tensor:
        """As :meth:`select`, with ignored pixels already marked by ``num_classes``."""
        images = torch.arange(len(classes), device=classes.device)[:, None, None].expand(classes.shape).flatten()
        grids, stages = [(classes.shape[0], classes.shape[1], classes.shape[2])], torch.zeros_like(images)
        labels = labels_of(classes.flatten(), predictions.flatten(), images, stages, grids, num_classes)
        selected = self._selected(labels).view(classes.shape)
        return selected.masked_fill(selected == num_classes, -1)

    @torch.no_grad()
    def _selected(self, labels: StageLabels) -> Tensor:
        """The class of the error region that a selected pixel belongs to, ``[P]`` int64, N elsewhere."""
        size, predicted = labels.num_classes, self.error_map == "predicted"
        wrong = misclassified(labels.classes, labels.predictions, size)
        regions = (labels.predictions if predicted else labels.classes).masked_fill(~wrong, size)
        if predicted:
            regions = regions.masked_fill(~_occurs(labels)[labels.segments_of(regions)], size)
        distances = [self.transform(region_edges(one, size)).flatten() for one in labels.maps(regions)]
        images = torch.add(labels.images, labels.stages, alpha=labels.grids[0][0])
        number = labels.grids[0][0] * len(labels.grids)
        far = _beyond_percentage(regions, torch.cat(distances), images, number, size, self.percentage)
        return regions.masked_fill(far, size)


def _occurs(labels: StageLabels) -> Tensor:
    """Boolean ``[I·N + 1]``: class has a pixel of the stage anywhere in the global batch; the last one is False."""
    bins = torch.zeros(labels.num_segments + 1, dtype=torch.bool, device=labels.classes.device)
    bins = any_over_ranks(bins.scatter(0, labels.segments, True))
    return F.pad(bins[:-1], (0, 1))


def within_percentage(regions: Tensor, distances: Tensor, num_classes: int, percentage: int) -> Tensor:
    """Pixels whose distance is at or below their region's K-th percentile, per class and image, ties in.

    Args:
        regions: Region map ``[B, H, W]``, -1 where no region is.
        distances: Non-negative ``[B, H, W]``, int32 or float32.
        num_classes: N.
        percentage: K; the threshold is the distance at index ``(M - 1) * K // 100`` of M in ascending order.

    Returns:
        Boolean ``[B, H, W]``.
    """
    images = torch.arange(len(regions), device=regions.device)[:, None, None].expand(regions.shape).flatten()
    marked = regions.masked_fill(regions < 0, num_classes).flatten()
    far = _beyond_percentage(marked, distances.flatten(), images, len(regions), num_classes, percentage)
    return ~far.view(regions.shape)


def _beyond_percentage(
    regions: Tensor, distances: Tensor, images: Tensor, number: int, num_classes: int, percentage: int
) -> Tensor:
    """The others than :func:`within_percentage` gives, of a list ``[P]`` with numbers of images; N is no region."""
    bins = number * num_classes  # one a region, and a last one for pixels of none
    segment = segments_of(regions, images, num_classes, bins)
    # Non-negative floats sort as the integers their bits spell, so one integer key orders by region, then distance.
    rank = distances.clamp_max(NO_EDGE).view(torch.int32).long()  # equally far where there is none
    order = order_by_segment(segment, rank, bins + 1)
    place = order.first + (order.counts - 1).clamp_min(0) * percentage // 100
    threshold = order.keys_at(place.clamp_max(rank.shape[0] - 1))
    return (rank > threshold[segment]) | (segment == bins)
