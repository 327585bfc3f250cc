"""Sums, numbers and order of elements by segment: what a loop over classes, images or groups would do, all at once.

A segment is an index per element; callers give elements that belong nowhere a last segment of their own.
"""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

_KEY = 0xFFFFFFFF  # keys have 32 bits, so that segment and key are one integer

BAG = 128
"""Elements of a bag: enough that there are few bags, and few enough that their sums are spread over a device."""


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
    result: Tensor = _SegmentLogSumExp.apply(values, segments, num_segments)
    return result


class Bags(NamedTuple):
    """Elements of columns of a matrix, sorted by segment into bags of equal size; a bag has elements of one segment.

    A weighted sum over all rows of a segment is then one embedding bag, which copies no row, and the sum of its bags.
    No kernel adds many rows to a single one, and the order of additions is fixed.

    Attributes:
        rows: Row of the element in each slot, ``[M·128]`` int64; 0 in a slot without one.
        entries: The element's place in the matrix, column after column, ``[M·128]`` int64; likewise.
        taken: 1.0 where a slot has an element, else 0.0, ``[M·128]``.
        begins: First slot of each bag, ``[M]`` int64.
        segments: The segment of each bag, ``[M]`` int64 in 0 .. S; S holds nothing.
    """

    rows: Tensor
    entries: Tensor
    taken: Tensor
    begins: Tensor
    segments: Tensor

    def of_first_column(self, number: int) -> "Bags":
        """The bags of the first one of so many columns."""
        bags = len(self.segments) // number
        return Bags(*(part[: bags * BAG] for part in self[:3]), *(part[:bags] for part in self[3:]))


def bags_of_segments(columns: Tensor, num_segments: int) -> Bags:
    """Sort elements into bags, in one sort of integers.

    Args:
        columns: Segment of each element, ``[K, P]`` int64 in 0 .. S, a column of the matrix after the other; S is of
            elements that are left out.
        num_segments: S.
    """
    (number, length), size, device = columns.shape, num_segments + 1, columns.device
    room = -(-(length + num_segments * (BAG - 1)) // BAG) * BAG  # what the fullest bags need, whatever the counts are
    column = torch.arange(number, device=device).unsqueeze(1)
    ordered, elements = (columns + column * size).flatten().sort(stable=True)
    first = torch.searchsorted(ordered, torch.arange(number * size + 1, device=device))
    used = (first.diff().view(number, size)[:, :-1] + (BAG - 1)) // BAG * BAG
    starts = (F.pad(used.cumsum(1), (1, 0)) + column * room).flatten()
    places = starts - first[:-1]
    place = places[ordered] + torch.arange(number * length, device=device)
    held = elements.masked_fill(ordered % size == num_segments, -1)
    slots = elements.new_full((number * room,), -1).scatter(0, place, held)
    begins = torch.arange(0, number * room, BAG, device=device)
    segments = (torch.searchsorted(starts, begins, right=True) - 1) % size
    entries = slots.clamp_min(0)
    return Bags(entries % max(1, length), entries, (slots >= 0).float(), begins, segments)


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
    bounds = torch.arange(0, (num_segments + 1) << 32, 1 << 32, device=keys.device)
    first = torch.searchsorted(ordered, bounds)
    return SegmentOrder(elements, first[:-1], first.diff(), ordered)


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


class _SegmentLogSumExp(torch.autograd.Function):
    """Keeps values and result; the gradient is a softmax within each segment."""

    @staticmethod
    def forward(values: Tensor, segments: Tensor, num_segments: int) -> Tensor:
        lowest = values.new_full((num_segments,), -torch.inf)
        maximum = lowest.scatter_reduce(0, segments, values, "amax")
        shift = maximum.clamp_min(torch.finfo(values.dtype).min)  # finite for an empty segment
        sums = torch.zeros_like(shift).index_add(0, segments, (values - shift[segments]).exp())
        return sums.log() + shift

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, int], output: Tensor) -> None:
        ctx.save_for_backward(*inputs[:2], output)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        values, segments, result = ctx.saved_tensors
        return (values - result[segments]).exp() * grad[segments], None, None
