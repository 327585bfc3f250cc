"""Random draws without a generator's state: every pixel gets a random key, and the smallest keys are drawn.

A key is a hash of seed, step, stage, image of the global batch and position, so draws are reproducible, the same on
every device and however a batch is spread over processes, of a fixed size, and free of host reads.
"""

import torch
from torch import Tensor

from contextrast.contrast.collective import first_image


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
    image = torch.arange(batch, device=step.device) + first_image(batch)
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
    order = torch.sort((segments << 32) | keys).indices
    counts = torch.zeros(num_segments + 1, dtype=torch.long, device=keys.device)
    counts = counts.scatter_add(0, segments, torch.ones_like(segments))
    first = (counts.cumsum(0) - counts)[:-1, None]
    rank = torch.arange(number, device=keys.device)
    positions = (first + rank).clamp_max(max(0, keys.shape[0] - 1))
    return order[positions], rank < counts[:-1, None]
