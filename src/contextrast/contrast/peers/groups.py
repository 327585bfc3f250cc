"""Samples of pixels: equally many of every (image, class) pair (Wang et al., ICCV 2021; Pissas et al., ECCV 2022)."""

from typing import NamedTuple

import torch
from torch import Tensor

from contextrast.contrast.collective import gather_images, rank, sum_for_equal_losses, world_size
from contextrast.contrast.random_keys import pixel_keys
from contextrast.contrast.rows import at_least_float32, unit_length
from contextrast.contrast.segments import SegmentOrder, order_by_segment
from contextrast.contrast.stages import StagePixels, misclassified
from contextrast.contrast.state import Stateful
from contextrast.errors import check_number


class Samples(NamedTuple):
    """Unit-length vectors with their classes: drawn pixels, or what a memory holds.

    Attributes:
        embeddings: ``[M, D]``.
        classes: ``[M]`` int64; ``num_classes`` marks an empty slot, whose embedding is any finite vector.
        num_classes: N.
    """

    embeddings: Tensor
    classes: Tensor
    num_classes: int

    @property
    def filled(self) -> Tensor:
        """Slots that hold a sample, boolean ``[M]``."""
        return self.classes < self.num_classes


class GroupSampler(Stateful):
    """Draws V pixels of each of T groups, the (image, class) pairs with enough pixels, in one gather.

    V = min(⌊max_samples / T⌋, max_views, pixels of the smallest group) depends on the data, so it stays on the device:
    the draw fills T·V of a fixed number of slots, which is the least bound known beforehand. It is reproducible, since
    every pixel's random key is a hash of seed, step, stage, image and position, and takes the smallest keys, which is
    uniform and without replacement. More groups than ``max_samples`` would be cut to the first ones, one pixel each.

    Of several processes every one gets the samples of the global batch, ``max_samples`` of them in all, at the price of
    one sum of M·(D + 1) numbers and of the gathered numbers of pixels of all groups. What is computed from the samples
    has to be the same on all processes; gradients then flow back to whoever has the pixel, and nothing else is sent.

    Args:
        min_pixels: A group has at least this many.
        max_views: V at most.
        max_samples: T·V at most.
        hard_half: Half of V (rounded down) are misclassified pixels and the others rightly classified ones; where one
            side is short, the other fills up (Wang et al., ICCV 2021). Otherwise the draw is uniform over the group
            (Pissas et al., ECCV 2022).
        seed: Seed of the draws.

    Raises:
        ConfigError: If a number is not positive.
    """

    step: Tensor

    def __init__(self, min_pixels: int, max_views: int, max_samples: int, hard_half: bool, seed: int = 0) -> None:
        super().__init__()
        for name, value in (("min_pixels", min_pixels), ("max_views", max_views), ("max_samples", max_samples)):
            check_number(name, value, 1, whole=True)
        self.min_pixels = min_pixels
        self.max_views = max_views
        self.max_samples = max_samples
        self.hard_half = hard_half
        self.seed = seed
        self.register_buffer("step", torch.zeros((), dtype=torch.long))

    def update(self) -> None:
        """Move on to the next step's draws; called once after the optimiser step."""
        self.step += 1

    def forward(self, pixels: StagePixels) -> tuple[Samples, Tensor]:
        """Samples of a stage, in M slots, and whether each is misclassified, boolean ``[M]``."""
        drawn, classes = self.draw(pixels)
        positions = drawn.clamp_min(0)
        wrong = misclassified(pixels.classes, pixels.predictions, pixels.num_classes).flatten()[positions]
        rows = at_least_float32(pixels.rows_at(positions))
        if world_size() > 1:
            rows, wrong = _of_all_ranks(rows, wrong, (drawn >= 0) & (classes < pixels.num_classes))
        samples = Samples(unit_length(rows, 1), classes, pixels.num_classes)
        return samples, wrong & samples.filled

    @torch.no_grad()
    def draw(self, pixels: StagePixels) -> tuple[Tensor, Tensor]:
        """Which pixels are drawn, among those of all processes.

        Returns:
            Positions ``[M]`` in 0 .. P - 1, or -1 for another process's pixel; classes ``[M]``, N for an empty slot.
        """
        batch, size = pixels.grid[0], pixels.num_classes
        order = self._ordered(pixels, batch * size)
        counts = gather_images(order.counts[:-2].view(batch, size, 2)).flatten(0, 1)
        groups, total = len(counts), counts.sum(1)
        eligible = total >= self.min_pixels
        number = eligible.sum()
        views = torch.where(eligible, total, self.max_views).min().clamp_max(self.max_views)
        views = views.minimum(self.max_samples // number.clamp_min(1)).clamp_min(1)

        slots = min(self.max_samples, order.elements.shape[0] * world_size(), groups * self.max_views)
        slot = torch.arange(slots, device=counts.device)
        place, view = slot // views, slot % views
        filled = place < number
        group = torch.sort((~eligible).byte(), stable=True).indices[place.clamp_max(groups - 1)]
        hard, easy = counts[group].unbind(1)
        from_hard = (views // 2).maximum(views - easy).minimum(hard)
        image, classes = group // size, group % size
        elsewhere = filled & (image % world_size() != rank())
        first_hard, first_easy = order.first.view(-1, 2)[image // world_size() * size + classes].unbind(1)
        position = torch.where(view < from_hard, first_hard + view, first_easy + view - from_hard)
        drawn = order.elements[torch.where(filled & ~elsewhere, position, 0)]
        return drawn.masked_fill(elsewhere, -1), torch.where(filled, classes, size)

    def _ordered(self, pixels: StagePixels, groups: int) -> SegmentOrder:
        """Pixels by group, hard ones first, then key: two segments for each of G groups and for pixels of no class."""
        image = torch.arange(pixels.grid[0], device=pixels.classes.device)[:, None, None]
        valid = pixels.classes < pixels.num_classes
        group = torch.where(valid, image * pixels.num_classes + pixels.classes, groups)
        easy = torch.ones_like(group)
        if self.hard_half:
            easy -= misclassified(pixels.classes, pixels.predictions, pixels.num_classes).long()
        keys = pixel_keys(self.seed, self.step, pixels.stage, pixels.grid).flatten()
        return order_by_segment((2 * group + easy).flatten(), keys, 2 * groups + 2)


def _of_all_ranks(rows: Tensor, wrong: Tensor, here: Tensor) -> tuple[Tensor, Tensor]:
    """Samples of all processes, of each of which one has ``here`` those of its own images; 0 where none has one."""
    own = torch.cat([rows, wrong.unsqueeze(1).to(rows.dtype)], 1)
    total = sum_for_equal_losses(own.masked_fill(~here.unsqueeze(1), 0))
    return total[:, :-1].contiguous(), total[:, -1].detach() > 0
