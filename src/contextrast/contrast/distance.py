"""Edges of regions and the distance to them (Contextrast, Eq. 7).

A region map ``[B, H, W]`` holds for every pixel the class of the region it belongs to, or -1. Regions are disjoint, so
one transform of the union of all edges gives every region its own distances: a straight path from an inner pixel to a
foreign region's edge first leaves its own region through an edge pixel of its own, which is nearer.
"""

from collections.abc import Callable
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

Transform = Callable[[Tensor], Tensor]

_FAR = 1 << 14  # stands for "no edge in this row"; its square still fits int32 beside any image's own distances
NO_EDGE: Final = _FAR**2
"""Squared distance from which on there is no edge in the image, however much farther one number is than another."""

_BROADCAST_CELLS = 1 << 23  # cells of the column pass's temporary, 32 MB: what a CPU's caches about hold


def region_edges(regions: Tensor, none: int = -1) -> Tensor:
    """Edge pixels: pixels of a region with a 4-neighbour outside of it; beyond the image border is not outside.

    Args:
        regions: Region map ``[B, H, W]``.
        none: What it holds where no region is.

    Returns:
        Boolean map ``[B, H, W]``.
    """
    # A neighbour differs where the largest or the smallest number among pixel and neighbours is not the pixel's own;
    # pooling leaves out what is beyond the border.
    both = torch.stack([regions, -regions], 1).float()
    lines = F.max_pool2d(both, (3, 1), 1, (1, 0))
    columns = F.max_pool2d(both, (1, 3), 1, (0, 1))
    return (torch.maximum(lines, columns) != both).any(1) & (regions != none)


def exact_squared_distance(edges: Tensor) -> Tensor:
    """Squared Euclidean distance to the nearest edge pixel of the same image, exact, in whole numbers.

    Separable: a running maximum along the longer side finds the nearest edge of each line, a broadcast minimum along
    the shorter side combines the lines.

    Args:
        edges: Boolean map ``[B, H, W]``.

    Returns:
        ``[B, H, W]`` int32; at least `NO_EDGE` in an image without any edge.
    """
    if edges.shape[1] > edges.shape[2]:
        return exact_squared_distance(edges.transpose(1, 2)).transpose(1, 2)
    squared = _distance_along_rows(edges).square().unsqueeze(1)
    batch, height, width = edges.shape
    rows = torch.arange(height, device=edges.device, dtype=torch.int32)
    between = (rows.unsqueeze(1) - rows).square().unsqueeze(2)  # [H, H', 1]
    block = max(1, _BROADCAST_CELLS // max(1, batch * height * width))
    if torch.compiler.is_compiling() or block >= height:
        return (between + squared).amin(2)  # where compiled, fused: nothing of this size is ever stored
    return torch.cat([(part + squared).amin(2) for part in torch.split(between, block)], 1)


def _distance_along_rows(edges: Tensor) -> Tensor:
    width = edges.shape[2]
    # Both directions at once, each as the distance to the last edge so far, which is far away before the first one.
    places = torch.arange(_FAR, _FAR + width, device=edges.device, dtype=torch.int32)
    last = (torch.stack([edges, edges.flip(2)]) * places).cummax(3).values
    before, after = (places - last).unbind()
    return torch.minimum(before, after.flip(2))


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
