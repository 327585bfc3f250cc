"""Sums, numbers and order of elements by segment: what a loop over classes, images or groups would do, all at once.

A segment is an index per element; callers give elements that belong nowhere a last segment of their own.
"""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

_KEY = 0xFFFFFFFF  # keys have 32 bits, so that segment and key are one integer


def counts_of_segments(segments: Tensor, num_segments: int) -> Tensor:
    """Number of elements of each segment.

    Args:
        segments: int32 or int64 in 0 .. S - 1, any shape.
        num_segments: S.

    Returns:
        ``[S]`` int64.
    """
    segments = segments.flatten()
    one = torch.ones(1, dtype=torch.long, device=segments.device)
    return torch.zeros(num_segments, dtype=torch.long, device=segments.device).index_add(
        0, segments, one.expand(segments.shape)
    )


def sums_of_segments(rows: Tensor, segments: Tensor, num_segments: int) -> Tensor:
    """Sums of the rows of each segment.

    Args:
        rows: ``[P, D]``.
        segments: ``[P]`` int64 in 0 .. S - 1.
        num_segments: S.

    Returns:
        ``[S, D]``; 0 for an empty segment.
    """
    sums: Tensor = _SegmentSums.apply(rows, segments, num_segments)
    return sums


def logsumexp_of_segments(values: Tensor, segments: Tensor, num_segments: int) -> Tensor:
    """Log of the sum of exponentials of each segment, shifted by the segment's maximum.

    Args:
        values: ``[P]``.
        segments: ``[P]`` int64 in 0 .. S - 1.
        num_segments: S.

    Returns:
        ``[S]``, -inf for empty segments.
    """
    zeros = values.new_zeros(num_segments)
    lowest = values.new_full((num_segments,), -torch.inf)
    maximum = lowest.scatter_reduce(0, segments, values.detach(), "amax")
    filled = maximum > -torch.inf
    shift = torch.where(filled, maximum, 0)
    sums = zeros.index_add(0, segments, (values - shift[segments]).exp())
    return torch.where(filled, torch.where(filled, sums, 1).log() + shift, -torch.inf)


class SegmentOrder(NamedTuple):
    """Elements sorted by segment, and by key within each.

    Attributes:
        elements: Positions of the elements in that order, ``[P]``.
        first: Where each segment begins, ``[S]``.
        counts: Number of elements of each segment, ``[S]``.
        ordered: Segment and key of each element in that order, as one integer, ``[P]``.
    """

    elements: Tensor
    first: Tensor
    counts: Tensor
    ordered: Tensor

    def keys_at(self, places: Tensor) -> Tensor:
        """Keys of the elements at some places of the order."""
        return self.ordered[places] & _KEY


def order_by_segment(segments: Tensor, keys: Tensor, num_segments: int) -> SegmentOrder:
    """Sort elements by segment, then by key, in one sort of integers.

    Args:
        segments: ``[P]`` int64 in 0 .. S - 1.
        keys: ``[P]`` int64 in 0 .. 2³² - 1.
        num_segments: S.
    """
    ordered, elements = torch.sort((segments << 32) | keys)
    counts = counts_of_segments(segments, num_segments)
    return SegmentOrder(elements, counts.cumsum(0) - counts, counts, ordered)


class _SegmentSums(torch.autograd.Function):
    """The gradient of ``index_add`` by another kernel, which takes two thirds of the time on a CPU."""

    @staticmethod
    def forward(rows: Tensor, segments: Tensor, num_segments: int) -> Tensor:
        return rows.new_zeros(num_segments, rows.shape[1]).index_add(0, segments, rows)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, int], output: Tensor) -> None:  # noqa: ARG004
        ctx.save_for_backward(inputs[1])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (segments,) = ctx.saved_tensors
        return F.embedding(segments, grad), None, None
