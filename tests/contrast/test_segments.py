"""Segment reductions against the direct formulas."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from contextrast.contrast.segments import (
    counts_of_segments,
    logsumexp_of_segments,
    order_by_segment,
    sums_of_segments,
)


def test_logsumexp_is_stable_and_knows_empty_segments():
    values = torch.tensor([1000.0, 999.0, -1000.0, 5.0, 7.0], dtype=torch.float64, requires_grad=True)
    result = logsumexp_of_segments(values, torch.tensor([0, 0, 2, 3, 4]), 5)
    expected = torch.stack([values[:2].logsumexp(0), torch.tensor(-torch.inf), *values[2:]])
    torch.testing.assert_close(result, expected)
    result[[0, 2, 3]].sum().backward()
    torch.testing.assert_close(values.grad, torch.tensor([0.7310585786300049, 0.2689414213699951, 1, 1, 0]).double())


def test_sums_and_their_gradient():
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(9, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    segments = torch.tensor([0, 2, 2, 0, 3, 2, 0, 0, 3])
    sums = sums_of_segments(rows, segments, 5)
    torch.testing.assert_close(sums, torch.stack([rows[segments == segment].sum(0) for segment in range(5)]))
    assert torch.autograd.gradcheck(lambda p: sums_of_segments(p, segments, 5), rows)


@given(seed=st.integers(0, 10**6), size=st.integers(1, 40), number=st.integers(1, 6))
@settings(max_examples=30, deadline=None)
def test_counts_and_order_are_those_of_a_loop(seed, size, number):
    generator = torch.Generator().manual_seed(seed)
    segments = torch.randint(number, (size,), generator=generator)
    keys = torch.randperm(size, generator=generator) * (2**32 // size)  # up to the largest that there are
    order = order_by_segment(segments, keys, number)
    expected = sorted(range(size), key=lambda element: (int(segments[element]), int(keys[element])))
    assert order.elements.tolist() == expected
    assert order.counts.tolist() == counts_of_segments(segments, number).tolist()
    assert order.counts.tolist() == [segments.tolist().count(segment) for segment in range(number)]
    for segment in segments.unique().tolist():
        first = order.elements[order.first[segment]]
        assert keys[first] == min(keys[segments == segment])
    assert order.keys_at(torch.arange(size)).tolist() == keys[expected].tolist()
