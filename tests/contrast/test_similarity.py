"""Gathered dot products and segment reductions against the direct formulas."""

import torch

from contextrast.contrast import similarity
from contextrast.contrast.similarity import gathered_dots, segment_logsumexp


def test_gathered_dots_in_chunks(monkeypatch):
    monkeypatch.setitem(similarity._CHUNK_ROWS, "cpu", 7)
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(30, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    anchors = torch.randn(5, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    index = torch.randint(0, 6, (2, 30), generator=generator)
    dots = gathered_dots(rows, anchors, index)
    table = torch.cat([rows @ anchors.T, torch.zeros(30, 1)], 1)
    torch.testing.assert_close(dots, torch.stack([table.gather(1, which[:, None])[:, 0] for which in index]))
    assert torch.autograd.gradcheck(lambda r, a: gathered_dots(r, a, index), (rows, anchors))


def test_segment_logsumexp_is_stable_and_knows_empty_segments():
    values = torch.tensor([1000.0, 999.0, -1000.0, 5.0, 7.0], dtype=torch.float64, requires_grad=True)
    segments = torch.tensor([0, 0, 2, 3, 4])
    result, counts = segment_logsumexp(values, segments, 4)
    expected = torch.stack([values[:2].logsumexp(0), torch.tensor(-torch.inf), values[2], values[3]])
    torch.testing.assert_close(result, expected)
    assert counts.tolist() == [2, 0, 1, 1]
    result[[0, 2, 3]].sum().backward()
    torch.testing.assert_close(values.grad, torch.tensor([0.7310585786300049, 0.2689414213699951, 1, 1, 0]).double())
