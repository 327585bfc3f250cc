"""Sums, dot products and gradients of directions, of rows and of planes, against normalised copies of the maps."""

import pytest
import torch
import torch.nn.functional as F

from contextrast.contrast import AllNegatives, ContextualContrast, products, rows
from contextrast.contrast.directions import Directions
from contextrast.contrast.products import PlaneProducts, RowProducts, pixels_of, products_of
from contextrast.contrast.segments import bags_of_segments
from contextrast.contrast.stages import as_rows
from tests.contrast.cases import label_maps

CLASSES, SHAPE = 4, (2, 6, 5, 7)
LAYOUTS = {
    "planes": lambda x: x,
    "rows": lambda x: x.contiguous(memory_format=torch.channels_last),
    "strided": lambda x: torch.stack([x, x], 4)[..., 0],
    "expanded": lambda x: x[:1].expand_as(x),
}


@pytest.fixture(params=[1, 1 << 12], autouse=True)
def _parts(request, monkeypatch):
    """Maps in many parts, and in one."""
    monkeypatch.setattr(products, "_PLANE_PIXELS", 8 if request.param == 1 else request.param)
    monkeypatch.setitem(rows._CHUNK_ROWS, "cpu", request.param)


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def labels(seed, number=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(CLASSES + 1, (number, 70), generator=generator)


def directions(map_, by_index):
    pixels = pixels_of(map_, CLASSES)
    columns = labels(0, 2)[: 1 + by_index]
    bags = bags_of_segments(columns, CLASSES) if pixels.ndim == 2 else None
    return Directions(pixels, columns[0], CLASSES, bags, columns[1] if by_index else None)


def ours(map_, vectors, by_index):
    found = directions(map_, by_index)
    return found.sums, found.compare(vectors)


def theirs(map_, vectors, by_index):
    """The same of a normalised copy, by autograd."""
    unit = as_rows(F.normalize(map_, dim=1))
    columns = labels(0, 2)
    sums = F.one_hot(columns[0], CLASSES + 1)[:, :-1].to(unit.dtype).T @ unit
    dots = unit @ vectors.T
    return sums, F.pad(dots, (0, 1)).gather(1, columns.T) if by_index else dots


@pytest.mark.parametrize("by_index", [True, False])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_sums_dots_and_gradients_are_those_of_a_normalised_copy(layout, by_index):
    results = []
    for compute in (ours, theirs):
        map_, vectors = normal(*SHAPE).requires_grad_(), normal(CLASSES, 6, seed=1).requires_grad_()
        sums, dots = compute(LAYOUTS[layout](map_), vectors, by_index)
        total = (sums * normal(*sums.shape, seed=2)).sum() + (dots.square() * normal(*dots.shape, seed=3)).sum()
        results.append((sums, dots, *torch.autograd.grad(total, (map_, vectors))))
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("part", ["sums", "dots"])
@pytest.mark.parametrize("layout", ["planes", "rows"])
def test_either_alone_has_its_gradient(layout, part):
    results = []
    for compute in (ours, theirs):
        map_ = normal(*SHAPE).requires_grad_()
        chosen = compute(LAYOUTS[layout](map_), normal(CLASSES, 6, seed=1), True)[part == "dots"]
        results.append(torch.autograd.grad((chosen * normal(*chosen.shape, seed=2)).sum(), map_)[0])
    torch.testing.assert_close(*results)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("layout", ["planes", "rows"])
def test_half_precision_is_kept_and_computed_in_float32(layout, dtype):
    vectors, results = normal(CLASSES, 6, seed=1, dtype=torch.float32), []
    for compute in (ours, theirs):
        map_ = normal(*SHAPE).to(dtype)
        map_ = (map_ if compute is ours else map_.float()).requires_grad_()
        sums, dots = compute(LAYOUTS[layout](map_), vectors, True)
        gradient = torch.autograd.grad(sums.sum() * 1e-6 + dots.square().sum() * 1e-6, map_)[0]
        results.append((sums, dots, gradient * 1e6))
        assert sums.dtype == dots.dtype == torch.float32
    (sums, dots, gradient), (expected_sums, expected_dots, expected_gradient) = results
    torch.testing.assert_close(dots, expected_dots)  # of float32's accuracy
    torch.testing.assert_close(sums, expected_sums, rtol=0.01, atol=0.02)
    if dtype == torch.bfloat16:  # float16 has no numbers as small as this gradient
        torch.testing.assert_close(gradient.float(), expected_gradient, rtol=0.02, atol=0.02)


def test_pixels_next_to_zero_count_like_normalised_ones_and_get_no_gradient():
    for layout in ("planes", "rows"):
        map_ = normal(*SHAPE)
        map_[0, :, 0, 0], map_[0, :, 0, 1] = 0, map_[0, :, 0, 1] * 1e-13
        map_ = LAYOUTS[layout](map_).requires_grad_()
        sums, dots = ours(map_, normal(CLASSES, 6, seed=1), True)
        for found, expected in zip((sums, dots), theirs(map_, normal(CLASSES, 6, seed=1), True), strict=True):
            torch.testing.assert_close(found, expected)
        (gradient,) = torch.autograd.grad(sums.sum() + dots.square().sum(), map_)
        assert (gradient[0, :, 0, :2] == 0).all()
        assert torch.isfinite(gradient).all()


def test_the_way_is_chosen_by_layout_and_classes():
    map_ = normal(*SHAPE)
    chosen = [
        type(products_of(pixels_of(one, number)))
        for one, number in [(map_, 19), (map_, 171), (LAYOUTS["rows"](map_), 19), (LAYOUTS["strided"](map_), 19)]
    ]
    assert chosen == [PlaneProducts, RowProducts, RowProducts, RowProducts]


@pytest.mark.parametrize("negatives", [None, AllNegatives()])
def test_the_loss_is_that_of_normalised_maps_in_every_layout(negatives):
    generator = torch.Generator().manual_seed(0)
    target, prediction = label_maps(generator, 2, 32, 40, 5)
    sizes, weights = ((8, 10), (4, 5)), (0.4, 1.0)
    maps = [normal(2, 6, *size) * 3 + 1 for size in sizes]
    contrast = ContextualContrast(5, weights, negatives=negatives)
    expected = None
    for arrange in ((0, 0), (1, 1), (0, 1), (2, 0), (2, 2)):
        inputs = [one.clone().requires_grad_() for one in maps]
        ways = list(LAYOUTS.values())
        laid_out = [ways[way](one) for way, one in zip(arrange, inputs, strict=True)]
        loss = contrast(laid_out, target, prediction)["pixel_anchor"]
        found = (loss.detach(), *torch.autograd.grad(loss, inputs))
        if expected is None:
            unit = [one.clone().requires_grad_() for one in maps]
            loss = contrast([F.normalize(one, dim=1) for one in unit], target, prediction)["pixel_anchor"]
            expected = (loss.detach(), *torch.autograd.grad(loss, unit))
        torch.testing.assert_close(found, expected)
