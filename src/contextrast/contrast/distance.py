"""Edges of regions and the distance to them (Contextrast, Eq. 7).

A region map ``[B, H, W]`` holds for every pixel the class of the region it belongs to, or -1. Regions are disjoint, so
one transform of the union of all edges gives every region its own distances: a straight path from an inner pixel to a
foreign region's edge first leaves its own region through an edge pixel of its own, which is nearer.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

Transform = Callable[[Tensor], Tensor]

_NO_EDGE = 1 << 14  # stands for "no edge in this row"; its square still fits int32 beside any image's own distances
_BROADCAST_CELLS = 1 << 22  # cells of the column pass's temporary, 16 MB: small enough to stay in cache on a CPU


def region_edges(regions: Tensor) -> Tensor:
    """Edge pixels: pixels of a region with a 4-neighbour outside of it; beyond the image border is not outside.

    Args:
        regions: Region map ``[B, H, W]``, -1 where no region is.

    Returns:
        Boolean map ``[B, H, W]``.
    """
    vertical = F.pad(regions[:, 1:] != regions[:, :-1], (0, 0, 1, 1))
    horizontal = F.pad(regions[:, :, 1:] != regions[:, :, :-1], (1, 1))
    differs = vertical[:, 1:] | vertical[:, :-1] | horizontal[:, :, 1:] | horizontal[:, :, :-1]
    return differs & (regions >= 0)


def exact_squared_distance(edges: Tensor) -> Tensor:
    """Squared Euclidean distance to the nearest edge pixel of the same image, exact, in whole numbers.

    Separable: a running maximum along the longer side finds the nearest edge of each line, a broadcast minimum along
    the shorter side combines the lines.

    Args:
        edges: Boolean map ``[B, H, W]``.

    Returns:
        ``[B, H, W]`` int32; at least ``2**28`` in an image without any edge.
    """
    if edges.shape[1] > edges.shape[2]:
        return exact_squared_distance(edges.transpose(1, 2)).transpose(1, 2)
    squared = _distance_along_rows(edges).square()
    height, width = edges.shape[1:]
    rows = torch.arange(height, device=edges.device, dtype=torch.int32)
    between = (rows.unsqueeze(1) - rows).square()  # [H, H']
    block = max(1, _BROADCAST_CELLS // max(1, edges.shape[0] * height * width))
    if torch.compiler.is_compiling():
        block = height  # the compiler fuses sum and minimum, nothing of this size is ever stored
    parts = [(between[start : start + block, :, None] + squared[:, None]).amin(2) for start in range(0, height, block)]
    return torch.cat(parts, 1)


def _distance_along_rows(edges: Tensor) -> Tensor:
    width = edges.shape[2]
    columns = torch.arange(width, device=edges.device, dtype=torch.int32).expand(edges.shape)
    last = torch.where(edges, columns, -_NO_EDGE).cummax(2).values
    following = torch.where(edges, columns, 2 * _NO_EDGE).flip(2).cummin(2).values.flip(2)
    return torch.minimum(columns - last, following - columns).clamp_max(_NO_EDGE)


def kornia_distance(edges: Tensor) -> Tensor:
    """Distance to the nearest edge pixel by kornia's cascade of convolutions: approximate, up to 29 % short.

    Outside of ``torch.compile`` kornia reads a stopping flag from the device every eighth round.

    Args:
        edges: Boolean map ``[B, H, W]``.

    Returns:
        ``[B, H, W]`` float32; 0 everywhere in an image without any edge.
    """
    import kornia.contrib  # noqa: PLC0415  (an option: the method alone does not take kornia's second of start-up)

    distance: Tensor = kornia.contrib.distance_transform(edges.unsqueeze(1).float())
    return distance.squeeze(1)


TRANSFORMS: dict[str, Transform] = {"exact": exact_squared_distance, "kornia": kornia_distance}
