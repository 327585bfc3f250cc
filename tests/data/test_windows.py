"""The host's half of augmentation on a device: windows hold what crops need, and tensors hold what was drawn."""

from fractions import Fraction
from itertools import permutations
from math import floor

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from contextrast.data import SampleKey, TrainTransform
from contextrast.data.transforms import Draws
from contextrast.data.windows import ColorDraws, WindowDataset, collate_windows, needed

from .conftest import Stripes

JITTER = {"brightness": 0.3, "contrast": 0.3, "saturation": 0.3, "hue": 0.1}
FACTORS = {"brightness": 0.9, "contrast": 1.2, "saturation": 0.7, "hue": 0.05}


@given(st.data())
def test_a_window_is_what_interpolation_looks_at(data):
    source, scaled, length = (data.draw(st.integers(1, 60)) for _ in range(3))
    corner = data.draw(st.integers(scaled - length, 0) if length > scaled else st.integers(0, scaled - length))
    looked_at = set()
    for pixel in range(max(corner, 0), min(corner + length, scaled)):
        place = Fraction(2 * pixel + 1, 2) * Fraction(source, scaled) - Fraction(1, 2)
        looked_at |= {min(max(near, 0), source - 1) for near in (floor(place), floor(place) + 1)}
    window = needed(source, scaled, corner, length)
    assert (window.start, window.stop) == (min(looked_at), max(looked_at) + 1)


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_every_order_of_the_jitter_is_kept(order):
    draws = Draws(1.0, (4, 4), None, (0, 0, 4, 4), flip=False, jitter={**FACTORS, "order": list(order)})
    blends, hue = ColorDraws.of(draws)
    expected = {0: [0.9, 0, 0], 1: [1.2, -0.2, 0], 2: [0.7, 0, 0.3]}
    found = []
    for place, weights in enumerate(blends):
        if place == 3:
            found.append(3)
        if weights.tolist() != [1, 0, 0]:
            found += [step for step, blend in expected.items() if torch.allclose(weights, torch.tensor(blend))]
    assert found == list(order)
    assert hue == pytest.approx(0.05)


def test_no_jitter_is_an_identity():
    blends, hue = ColorDraws.of(Draws(1.0, (4, 4), None, (0, 0, 4, 4), flip=False, jitter=None))
    assert blends.tolist() == [[1, 0, 0]] * 6
    assert hue == 0


def test_draws_are_those_of_the_cpu():
    transform = TrainTransform([6, 5], color_jitter=JITTER, seed=3)
    windows = WindowDataset(Stripes(), transform)
    for key in (SampleKey(epoch, index) for epoch in range(3) for index in range(10)):
        drawn, window = transform.draw((8, 12), key), windows[key]
        size, scaled, start, step, begin = window["draws"].axes.T.tolist()
        assert size == [8, 12]
        assert tuple(scaled) == drawn.scaled
        assert start == [drawn.corner[0], drawn.corner[1] + (4 if drawn.flip else 0)]
        assert step == [1, -1 if drawn.flip else 1]
        whole = Stripes()[key.index]
        rows, columns = (slice(at, at + length) for at, length in zip(begin, window["mask"].shape))
        assert torch.equal(window["image"], whole["image"][:, rows, columns])
        assert torch.equal(window["mask"], whole["mask"][rows, columns].to(torch.uint8))
        assert window["name"] == whole["name"]
        for tensor, expected in zip(window["draws"].color, ColorDraws.of(drawn)):
            assert torch.equal(tensor, expected)


def test_a_plain_index_stands_for_the_first_epoch():
    windows = WindowDataset(Stripes(), TrainTransform([6, 5]))
    assert len(windows) == 10
    assert torch.equal(windows[4]["draws"].axes, windows[SampleKey(0, 4)]["draws"].axes)
    assert windows[4]["draws"].color is None


def test_windows_of_any_size_share_a_batch():
    windows = WindowDataset(Stripes(sizes=((8, 12), (6, 12), (20, 9))), TrainTransform([6, 5], color_jitter=JITTER))
    samples = [windows[SampleKey(0, index)] for index in range(6)]
    batch = collate_windows(samples)
    height, width = batch["mask"].shape[1:]
    assert (height, width) == tuple(torch.tensor([sample["mask"].shape for sample in samples]).amax(0).tolist())
    assert batch["image"].shape == (6, 3, height, width)
    assert batch["image"].dtype == batch["mask"].dtype == torch.uint8
    assert batch["draws"].axes.shape == (6, 2, 5)
    assert [tensor.shape for tensor in batch["draws"].color] == [(6, 6, 3), (6,)]
    for place, sample in enumerate(samples):
        rows, columns = sample["mask"].shape
        assert torch.equal(batch["mask"][place, :rows, :columns], sample["mask"])
        assert torch.equal(batch["image"][place, :, :rows, :columns], sample["image"])
