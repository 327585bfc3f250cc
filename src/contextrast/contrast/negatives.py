"""Boundary-aware negative sampling, BANE (Contextrast, section 3.3)."""

import torch
from torch import Tensor

from contextrast.contrast.collective import any_over_ranks
from contextrast.contrast.distance import TRANSFORMS, region_edges
from contextrast.contrast.segments import order_by_segment
from contextrast.contrast.similarity import Similarities, assigned_similarities, shared_similarities
from contextrast.contrast.stages import StagePixels, mark_ignored, misclassified
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

    @torch.no_grad()
    def select_regions(self, classes: Tensor, predictions: Tensor, num_classes: int) -> Tensor:
        """As :meth:`select`, with ignored pixels already marked by ``num_classes``."""
        wrong = misclassified(classes, predictions, num_classes)
        regions = torch.where(wrong, predictions if self.error_map == "predicted" else classes, -1)
        if self.error_map == "predicted":
            regions = torch.where(_occurs(classes, num_classes)[regions], regions, -1)
        distances = self.transform(region_edges(regions))
        return torch.where(within_percentage(regions, distances, num_classes, self.percentage), regions, -1)


def _occurs(classes: Tensor, num_classes: int) -> Tensor:
    """Boolean ``[N + 1]``: class has a pixel anywhere in the global batch; index -1 (no region) is False."""
    bins = torch.zeros(num_classes + 1, dtype=torch.bool, device=classes.device)
    bins = any_over_ranks(bins.scatter(0, classes.flatten(), True))
    return bins & (torch.arange(num_classes + 1, device=classes.device) < num_classes)


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
    batch = regions.shape[0]
    image = torch.arange(batch, device=regions.device)[:, None, None]
    bins = batch * num_classes  # one a region, and a last one for pixels of none
    segment = torch.where(regions >= 0, image * num_classes + regions, bins).flatten()
    # Non-negative floats sort as the integers their bits spell, so one integer key orders by region, then distance.
    rank = distances.view(torch.int32).long().flatten()
    order = order_by_segment(segment, rank, bins + 1)
    place = order.first + (order.counts - 1).clamp_min(0) * percentage // 100
    threshold = order.keys_at(place.clamp_max(rank.shape[0] - 1))
    return ((rank <= threshold[segment]) & (segment < bins)).view_as(regions)
