"""Random draws without a generator's state: every pixel gets a random key, and the smallest keys are drawn.

A key is a hash of seed, step, stage, image of the global batch and position, so draws are reproducible, the same on
every device and however a batch is spread over processes, of a fixed size, and free of host reads.
"""

import torch
from torch import Tensor

from contextrast.contrast.collective import gather_ranks, global_images, rank, sum_over_ranks, world_size
from contextrast.contrast.segments import order_by_segment


def pixel_keys(seed: int, step: Tensor, stage: int, shape: tuple[int, int, int]) -> Tensor:
    """Random key of every pixel of a stage.

    Args:
        seed: Seed of the draws.
        step: Step of the training, int64 scalar; its device is the keys'.
        stage: Position of the stage, so that stages draw independently.
        shape: B, H and W.

    Returns:
        ``[B, H, W]`` int64 in 0 .. 2³² - 1.
    """
    batch, height, width = shape
    image = global_images(batch, step.device)
    draw = hashed(hashed(hashed(step + (seed << 20)) + stage) + image)
    return hashed(draw[:, None] + torch.arange(height * width, device=step.device)).view(batch, height, width)


def hashed(values: Tensor) -> Tensor:
    """A 32-bit integer hash (multiply and xor-shift) in int64 arithmetic, the same on every device."""
    values = values & 0xFFFFFFFF
    for multiplier in (0x7FEB352D, 0x846CA68B):
        values = ((values ^ (values >> 16)) * multiplier) & 0xFFFFFFFF
    return values ^ (values >> 16)


def smallest_of_segments(keys: Tensor, segments: Tensor, num_segments: int, number: int) -> tuple[Tensor, Tensor]:
    """The elements with the smallest keys of every segment: a draw without replacement where keys are random.

    Args:
        keys: ``[P]`` int64 in 0 .. 2³² - 1.
        segments: ``[P]`` int64 in 0 .. ``num_segments``; the last one is left out.
        num_segments: S.
        number: How many to draw from each segment at most.

    Returns:
        ``[S, number]`` int64 positions in 0 .. P - 1, and boolean ``[S, number]``: whether the segment has that many.
    """
    order = order_by_segment(segments, keys, num_segments + 1)
    place = torch.arange(number, device=keys.device)
    positions = order.first[:-1, None] + place
    return order.elements[positions.clamp_max(max(0, keys.shape[0] - 1))], place < order.counts[:-1, None]


@torch.no_grad()
def smallest_over_ranks(rows: Tensor, keys: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """Of what every process drew by :func:`smallest_of_segments`, what a single one would have drawn.

    The keys of all processes are gathered, but no more rows are sent than are drawn in the end.

    Args:
        rows: What belongs to the drawn elements, ``[S, K, D]``.
        keys: Their keys, ``[S, K]``.
        valid: Whether there is such an element, boolean ``[S, K]``.

    Returns:
        Rows ``[S, K, D]`` and validity ``[S, K]`` of the K smallest keys of every segment, without gradient.
    """
    if world_size() == 1:
        return rows, valid
    number = keys.shape[1]
    none = 1 << 32  # more than any key
    gathered = gather_ranks(keys.masked_fill(~valid, none)).transpose(0, 1).flatten(1)
    smallest = gathered.sort(dim=1, stable=True)
    chosen = smallest.indices[:, :number]
    own = rows.gather(1, (chosen % number).unsqueeze(2).expand(-1, -1, rows.shape[2]))
    own = own.masked_fill((chosen // number != rank()).unsqueeze(2), 0)
    return sum_over_ranks(own), smallest.values[:, :number] < none
