"""Segment reductions against the direct formulas."""

import torch

from contextrast.contrast.similarity import segment_logsumexp


def test_segment_logsumexp_is_stable_and_knows_empty_segments():
    values = torch.tensor([1000.0, 999.0, -1000.0, 5.0, 7.0], dtype=torch.float64, requires_grad=True)
    segments = torch.tensor([0, 0, 2, 3, 4])
    result, counts = segment_logsumexp(values, segments, 4)
    expected = torch.stack([values[:2].logsumexp(0), torch.tensor(-torch.inf), values[2], values[3]])
    torch.testing.assert_close(result, expected)
    assert counts.tolist() == [2, 0, 1, 1]
    result[[0, 2, 3]].sum().backward()
    torch.testing.assert_close(values.grad, torch.tensor([0.7310585786300049, 0.2689414213699951, 1, 1, 0]).double())
