"""A bounded random sample of each class's pixels that does not depend on how images are shared out and in which order.

Every pixel has a random key of its own, and a class keeps the pixels with the smallest keys: merging two samples and
keeping the smallest again gives the sample of the union.
"""

import zlib
from collections.abc import Sequence
from typing import Final, NamedTuple

import torch
from torch import Tensor

FREE: Final = torch.iinfo(torch.int64).max
"""Key of a place that no pixel has taken."""


class Reservoir(NamedTuple):
    """Up to K pixels of each of N classes, those with the smallest keys first.

    Attributes:
        keys: Random keys, `FREE` where a class has fewer pixels. int64 ``[K, N]``
        rows: The pixels' features. float32 ``[K, N, C]``
    """

    keys: Tensor
    rows: Tensor


def pixel_keys(names: Sequence[str], height: int, width: int, seed: int) -> Tensor:
    """Random keys of the pixels of a grid: a function of seed, sample and position alone.

    Args:
        names: Names of the samples, unique in their split.
        height: Rows of the grid.
        width: Columns of the grid.
        seed: Seed of the draw.

    Returns:
        int64 ``[B, height, width]``, from 0 to below `FREE`.
    """
    generator = torch.Generator()
    keys = []
    for name in names:
        generator.manual_seed(zlib.crc32(f"{seed} {name}".encode()))
        keys.append(torch.randint(FREE, (height, width), generator=generator))
    return torch.stack(keys)


def drawn(rows: Tensor, classes: Tensor, keys: Tensor, num_classes: int, size: int) -> Reservoir:
    """The pixels of each class with the smallest keys, without reading a value on the host.

    Args:
        rows: Features of P pixels ``[P, C]``.
        classes: Their classes, int64 ``[P]``; ``num_classes`` leaves a pixel out.
        keys: Their keys, int64 ``[P]``.
        num_classes: N.
        size: K.
    """
    order = keys.argsort()
    order = order[classes[order].argsort(stable=True)]  # by class, and by key within a class
    ordered = classes[order]
    counts = torch.zeros(num_classes + 1, dtype=torch.long, device=rows.device)
    counts = counts.scatter_add_(0, classes, torch.ones_like(classes))
    rank = torch.arange(len(order), device=rows.device) - (counts.cumsum(0) - counts)[ordered]
    taken = (rank < size) & (ordered < num_classes)
    place = torch.where(taken, rank * num_classes + ordered, size * num_classes)  # the last place is thrown away
    pixels = torch.full((size * num_classes + 1,), -1, dtype=torch.long, device=rows.device)
    pixels = pixels.scatter_(0, place, order)[:-1].view(size, num_classes)
    return Reservoir(torch.where(pixels < 0, FREE, keys[pixels]), rows[pixels].float())


def smallest(reservoir: Reservoir, size: int) -> Reservoir:
    """The K smallest keys of each class among any number of places."""
    keys, order = reservoir.keys.sort(dim=0, stable=True)
    chosen = order[:size, :, None].expand(-1, -1, reservoir.rows.shape[2])
    return Reservoir(keys[:size], reservoir.rows.gather(0, chosen))


def joined(first: Reservoir, second: Reservoir) -> Reservoir:
    """The places of both, one after the other."""
    return Reservoir(*(torch.cat(pair) for pair in zip(first, second, strict=True)))
