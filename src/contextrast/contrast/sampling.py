"""The samplings that BANE is compared with: all negatives, random ones, semi-hard ones (Wang et al., ICCV 2021).

Draws are reproducible: every pixel's random key is a hash of seed, step, stage, image and position, so no generator
state is involved and nothing depends on the device.
"""

import torch
from torch import Tensor, nn

from contextrast.contrast.negatives import BoundaryAwareNegatives
from contextrast.contrast.products import pixels_of, products_of
from contextrast.contrast.random_keys import pixel_keys
from contextrast.contrast.segments import counts_of_segments
from contextrast.contrast.similarity import Similarities, shared_similarities
from contextrast.contrast.stages import StagePixels
from contextrast.contrast.state import Stateful

_SEMI_HARD_PERCENTAGE = 10  # of an image's other-class pixels, the most similar ones


class AllNegatives(nn.Module):
    """Every valid pixel of another class is a negative of an anchor."""

    def forward(self, pixels: StagePixels, anchors: Tensor, temperature: float) -> Similarities:
        """Similarities of one stage's pixels to the anchors ``[N, D]``, all other-class pixels as negatives."""
        return shared_similarities(pixels, anchors, temperature, other_class(pixels.classes, pixels.num_classes))


class RandomNegatives(Stateful):
    """For each anchor and image as many pixels of other classes as BANE takes, uniformly, without replacement.

    Args:
        seed: Seed of the draws.
        percentage: K of the BANE whose numbers of negatives are matched.
        error_map: Its reading of the error map.
        transform: Its distance transform.
    """

    step: Tensor

    def __init__(
        self, seed: int = 0, percentage: int = 50, error_map: str = "predicted", transform: str = "exact"
    ) -> None:
        super().__init__()
        self.seed = seed
        self.boundary_aware = BoundaryAwareNegatives(percentage, error_map, transform)
        self.register_buffer("step", torch.zeros((), dtype=torch.long))

    def update(self) -> None:
        """Move on to the next step's draws; called once after the optimiser step."""
        super().update()
        self.step += 1

    def forward(self, pixels: StagePixels, anchors: Tensor, temperature: float) -> Similarities:
        """Similarities of one stage's pixels to the anchors ``[N, D]``, with randomly drawn negatives."""
        is_negative = draw(self.candidates(pixels, anchors), self.keys(pixels), self.budget(pixels))
        return shared_similarities(pixels, anchors, temperature, is_negative)

    @torch.no_grad()
    def candidates(self, pixels: StagePixels, anchors: Tensor) -> Tensor:  # noqa: ARG002  (semi-hard needs the anchors)
        """Pixels that may be drawn for each anchor, boolean ``[B, N, H, W]``."""
        return other_class(pixels.classes, pixels.num_classes)

    @torch.no_grad()
    def budget(self, pixels: StagePixels) -> Tensor:
        """Number of negatives BANE takes for each image and anchor, ``[B, N]`` int64."""
        size, bane = pixels.num_classes, self.boundary_aware
        selected = bane.select_regions(pixels.classes, pixels.predictions, size).flatten(1)
        batch = selected.shape[0]
        image = torch.arange(batch, device=selected.device).unsqueeze(1)
        bins = torch.where(selected >= 0, image * size + selected, batch * size)
        counts = counts_of_segments(bins, batch * size + 1)[:-1].view(batch, size)
        return counts.sum(1, keepdim=True) - counts if bane.error_map == "others" else counts

    @torch.no_grad()
    def keys(self, pixels: StagePixels) -> Tensor:
        """Random key of every pixel, ``[B, H, W]`` int64."""
        return pixel_keys(self.seed, self.step, pixels.stage, pixels.grid)


class SemiHardNegatives(RandomNegatives):
    """As :class:`RandomNegatives`, drawn among the 10 % of an image's other-class pixels most similar to the anchor."""

    @torch.no_grad()
    def candidates(self, pixels: StagePixels, anchors: Tensor) -> Tensor:
        """The most similar tenth (rounded up, ties in) of the other-class pixels, boolean ``[B, N, H, W]``."""
        eligible = other_class(pixels.classes, pixels.num_classes)
        batch, size, height, width = eligible.shape
        products = products_of(pixels_of(pixels.embeddings, size))
        cosines = products.all_dots(anchors) * products.inverse_norms().unsqueeze(1)
        similarity = cosines.view(batch, height, width, size).permute(0, 3, 1, 2)
        similarity = similarity.masked_fill(~eligible, -torch.inf).flatten(2)
        number = (eligible.flatten(2).sum(2, keepdim=True) * _SEMI_HARD_PERCENTAGE + 99) // 100
        ordered = similarity.sort(2, descending=True).values
        threshold = ordered.gather(2, (number - 1).clamp_min(0))
        return (similarity >= threshold).view_as(eligible) & eligible


def other_class(classes: Tensor, num_classes: int) -> Tensor:
    """Valid pixels of another class than the anchor's, boolean ``[B, N, H, W]``, from classes ``[B, H, W]``."""
    anchor = torch.arange(num_classes, device=classes.device)[:, None, None]
    return (classes < num_classes).unsqueeze(1) & (classes.unsqueeze(1) != anchor)


@torch.no_grad()
def draw(candidates: Tensor, keys: Tensor, budget: Tensor) -> Tensor:
    """For each image and anchor the candidates with the smallest keys.

    Args:
        candidates: Boolean ``[B, N, H, W]``.
        keys: ``[B, H, W]``.
        budget: How many to take at most, ``[B, N]``.

    Returns:
        Boolean ``[B, N, H, W]``.
    """
    order = keys.flatten(1).argsort(dim=1, stable=True).unsqueeze(1).expand(-1, candidates.shape[1], -1)
    shuffled = candidates.flatten(2).gather(2, order)
    taken = shuffled & (shuffled.cumsum(2) <= budget.unsqueeze(2))
    return torch.zeros_like(shuffled).scatter(2, order, taken).view_as(candidates)
