"""Alignment, uniformity and neighbourhood uniformity, and the sample they are computed on."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from contextrast.errors import ConfigError
from contextrast.metrics import FeatureGeometry
from contextrast.metrics.features import geometry
from contextrast.metrics.reservoir import FREE, drawn, joined, pixel_keys, smallest

EXAMPLE = [
    torch.tensor([(1, 0), (0.8, 0.6)]),
    torch.tensor([(0, 1), (-0.6, 0.8)]),
    torch.tensor([(-1, 0), (-0.8, -0.6), (-0.6, -0.8)]),
]


def test_the_worked_example() -> None:
    found = geometry(EXAMPLE, 1)
    assert found.alignment == pytest.approx(0.344872, abs=5e-7)
    assert found.uniformity == pytest.approx(1.651970, abs=5e-7)
    assert found.neighborhood == pytest.approx(1.460252, abs=5e-7)
    assert geometry(EXAMPLE, 2).neighborhood == pytest.approx(found.uniformity)
    clipped = geometry(EXAMPLE, 7)
    assert (clipped.neighbors, clipped.neighborhood, clipped.classes) == (2, pytest.approx(found.uniformity), 3)


def slow_geometry(features, neighbors):
    units = [[row / row.norm() for row in rows.double()] for rows in features]
    spreads = [
        sum(float((v - w).norm()) for v in rows for w in rows) / len(rows) ** 2 for rows in units if len(rows) > 1
    ]
    sums = [sum(rows) for rows in units if rows]
    centres = [total / total.norm() for total in sums if total.norm() > 0]
    rows = [sorted(float((c - d).norm()) for d in centres if d is not c) for c in centres]
    pairs, near = [sum(row) for row in rows], [sum(row[:neighbors]) for row in rows]
    count = len(centres)
    return (
        sum(spreads) / len(spreads) if spreads else math.nan,
        sum(pairs) / (count * (count - 1)) if count > 1 else math.nan,
        sum(near) / (count * min(neighbors, count - 1)) if count > 1 else math.nan,
    )


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=6), st.integers(1, 4), st.integers(0, 99))
def test_against_loops_over_pairs(counts, neighbors, seed) -> None:
    generator = torch.Generator().manual_seed(seed)
    features = [torch.randn(count, 3, generator=generator) for count in counts]
    found = geometry(features, neighbors)
    assert tuple(found)[:3] == pytest.approx(slow_geometry(features, neighbors), rel=1e-9, nan_ok=True)


def test_classes_of_opposite_features_have_no_centre_but_a_spread() -> None:
    opposite = torch.tensor([(1.0, 0.0), (-1.0, 0.0)])
    found = geometry([opposite, *EXAMPLE], 1)
    assert found.classes == 3
    assert found.alignment == pytest.approx((3 * 0.34487224871 + 1) / 4)


def keyed(size, classes, count=60, seed=0):
    generator = torch.Generator().manual_seed(seed)
    keys = torch.randperm(10 * count, generator=generator)[:count]
    return torch.randn(count, 3, generator=generator), torch.randint(classes + 1, (count,), generator=generator), keys


def slow_sample(rows, classes, keys, train_id, size):
    """Keys and rows of the class's pixels with the smallest keys, in order."""
    own = sorted((int(key), number) for number, key in enumerate(keys) if classes[number] == train_id)[:size]
    return [key for key, _ in own], [rows[number] for _, number in own]


@pytest.mark.parametrize("size", [1, 4, 100])
def test_the_smallest_keys_of_each_class_are_drawn_however_the_pixels_come(size) -> None:
    rows, classes, keys = keyed(size, 4)
    whole = drawn(rows, classes, keys, 4, size)
    parts = [slice(0, 7), slice(7, 40), slice(40, 60)]
    for order in itertools.permutations(parts):
        samples = [drawn(rows[part], classes[part], keys[part], 4, size) for part in order]
        merged = smallest(joined(joined(samples[0], samples[1]), samples[2]), size)
        assert torch.equal(merged.keys, whole.keys)
    for train_id in range(4):
        expected_keys, expected_rows = slow_sample(rows, classes, keys, train_id, size)
        taken = whole.keys[:, train_id] != FREE
        assert whole.keys[taken, train_id].tolist() == expected_keys
        assert torch.equal(merged.rows[taken, train_id], torch.stack(expected_rows))


def test_a_sample_does_without_reading_on_the_host() -> None:
    rows, classes, keys = (values.to("meta") for values in keyed(4, 3))
    sample = drawn(rows, classes, keys, 3, 4)
    assert smallest(joined(sample, sample), 4).rows.shape == (4, 3, 3)


def test_keys_belong_to_seed_sample_and_place() -> None:
    keys = pixel_keys(["a", "b"], 4, 6, seed=3)
    assert torch.equal(keys[1:], pixel_keys(["b"], 4, 6, seed=3))
    assert not torch.equal(keys[0], keys[1])
    assert not torch.equal(keys, pixel_keys(["a", "b"], 4, 6, seed=4))
    assert keys.unique().numel() == keys.numel()


def test_pixels_take_the_label_of_their_centre_and_padding_none() -> None:
    """Stage pixels of 4 x 4 image pixels; class 1 in the left half, class 0 right, the last row of cells is padding."""
    measure = FeatureGeometry(2, stages=["stage2"], channels=[2], pixels_per_class=9, neighbors=1)
    target = torch.full((1, 12, 16), 255)
    target[:, :8, :8], target[:, :8, 8:] = 1, 0
    maps = torch.zeros(1, 2, 3, 4)
    maps[:, 0, :, :2], maps[:, 1, :, 2:] = 5.0, 0.1
    maps[:, :, 2] = -7.0
    measure.update([maps], target, ["a"])
    left, right = measure.sample("stage2")[::-1]
    assert left.tolist() == [[5.0, 0.0]] * 4
    assert right.tolist() == [[0.0, pytest.approx(0.1)]] * 4
    found = measure.compute()["stage2"]
    assert found.alignment == 0
    assert found.uniformity == pytest.approx(math.sqrt(2))


@pytest.mark.parametrize(
    ("options", "word"),
    [({"stages": [], "channels": []}, "model.stages"), ({"pixels_per_class": 1}, "pixels_per_class=1"),
     ({"neighbors": 0}, "neighbors=0")],
)  # fmt: skip
def test_settings_that_cannot_be(options, word) -> None:
    with pytest.raises(ConfigError, match=word):
        FeatureGeometry(2, **{"stages": ["stage2"], "channels": [3], **options})
