"""Row-wise operations against PyTorch's own and the direct formulas."""

import pytest
import torch
import torch.nn.functional as F

from contextrast.contrast import rows
from contextrast.contrast.rows import unit_length


@pytest.fixture(params=[7, 1 << 12], autouse=True)
def _chunk_rows(request, monkeypatch):
    monkeypatch.setitem(rows._CHUNK_ROWS, "cpu", request.param)
    monkeypatch.setattr(rows, "_FEW", 0 if request.param == 7 else 1 << 12)


def normal(*shape, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=dtype)


@pytest.mark.parametrize(
    ("shape", "dim"), [((2, 6, 3, 5), 1), ((5, 4), 1), ((2, 3, 4), 2), ((4, 3, 2), 0), ((0, 4), 1)]
)
def test_unit_length_is_that_of_normalize(shape, dim):
    ours, theirs = normal(*shape).requires_grad_(), normal(*shape).requires_grad_()
    weight = normal(*shape).flip(0)
    (unit_length(ours, dim) * weight).sum().backward()
    (F.normalize(theirs, dim=dim) * weight).sum().backward()
    torch.testing.assert_close(unit_length(ours, dim), F.normalize(theirs, dim=dim))
    torch.testing.assert_close(ours.grad, theirs.grad)


def test_gradient_of_unit_length_against_finite_differences():
    assert torch.autograd.gradcheck(lambda x: unit_length(x, 1), normal(2, 3, 2, 4).requires_grad_())


def test_vectors_next_to_zero_are_those_of_normalize_but_get_no_gradient():
    """``normalize`` gives them 1e12 times the gradient, which no step survives."""
    vectors = normal(9, 4)
    vectors[0], vectors[1] = 0, vectors[1] * 1e-13
    ours, theirs = vectors.clone().requires_grad_(), vectors.clone().requires_grad_()
    weight = normal(9, 4).flip(0)
    (unit_length(ours, 1) * weight).sum().backward()
    (F.normalize(theirs, dim=1) * weight).sum().backward()
    torch.testing.assert_close(unit_length(ours, 1), F.normalize(theirs, dim=1))
    torch.testing.assert_close(ours.grad[2:], theirs.grad[2:])
    assert (ours.grad[:2] == 0).all()


def test_half_precision_is_raised_before_the_norm_and_its_gradient_comes_back_in_it():
    vectors = normal(2, 6, 3, 5).to(torch.bfloat16).requires_grad_()
    unit = unit_length(vectors, 1)
    unit[:, 0].sum().backward()
    exact = vectors.detach().float().requires_grad_()
    expected = F.normalize(exact, dim=1)
    expected[:, 0].sum().backward()
    assert unit.dtype == torch.float32
    assert vectors.grad.dtype == torch.bfloat16
    torch.testing.assert_close(unit, expected)
    torch.testing.assert_close(vectors.grad, exact.grad.to(torch.bfloat16))


def test_maps_come_out_channels_last():
    assert unit_length(normal(2, 6, 3, 5), 1).is_contiguous(memory_format=torch.channels_last)
