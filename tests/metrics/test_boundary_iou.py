"""Boundary IoU against worked examples and scipy's erosion."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from contextrast.errors import ConfigError
from contextrast.metrics import BoundaryIoU
from contextrast.metrics.boundary_iou import band_width, boundary_counts
from tests.metrics.examples import OUTLINES_PREDICTION, OUTLINES_TARGET, OUTLINES_VOID


def batch(array):
    return torch.from_numpy(array)[None]


@pytest.mark.parametrize(
    ("target", "ratio", "both", "either", "mean"),
    [
        (OUTLINES_TARGET, 0.05, [210, 38, 40], [336, 106, 76], 0.503269),
        (OUTLINES_VOID, 0.05, [148, 37, 40], [274, 112, 76], 0.465606),
        (OUTLINES_VOID, 0.02, [46, 2, 17], [180, 82, 49], 0.208962),
        (OUTLINES_TARGET, 0.02, [80, 2, 17], [200, 78, 49], 0.257527),
        (OUTLINES_TARGET, 0.1, [341, 86, 70], [415, 138, 94], 0.729852),
    ],
)
def test_worked_examples(target, ratio, both, either, mean) -> None:
    assert boundary_counts(batch(OUTLINES_PREDICTION), batch(target), ratio, 3).tolist() == [both, either]
    measure = BoundaryIoU(3, ratio)
    measure.update(batch(OUTLINES_PREDICTION), batch(target))
    assert measure.report(["a", "b", "c"]).scores == {"boundary_iou": pytest.approx(mean, abs=5e-7)}


@settings(max_examples=60, deadline=None)
@given(st.data(), st.integers(1, 5))
def test_bands_are_masks_without_their_erosion(data, distance) -> None:
    shape = data.draw(st.tuples(st.integers(1, 14), st.integers(1, 14)))
    smooth = st.sampled_from([0, 0, 0, 0, 1, 2, 255])
    target = data.draw(hnp.arrays(np.int64, shape, elements=smooth, fill=st.just(0)))
    prediction = data.draw(hnp.arrays(np.int64, shape, elements=st.sampled_from([0, 1, 2, 255, -1]), fill=st.just(1)))
    ratio = distance / np.hypot(*shape)
    assert band_width(*shape, ratio) == distance
    counts = boundary_counts(batch(prediction), batch(target), ratio, 3).tolist()
    for train_id in range(3):
        bands = []
        for mask in (target == train_id, prediction == train_id):
            inner = ndimage.binary_erosion(mask, np.ones((3, 3)), iterations=distance, border_value=0)
            bands.append(mask & ~inner & (target != 255))
        assert counts[0][train_id] == (bands[0] & bands[1]).sum()
        assert counts[1][train_id] == (bands[0] | bands[1]).sum()


@pytest.mark.parametrize(("size", "ratio", "width"), [((20, 30), 0.02, 1), ((1024, 2048), 0.02, 46), ((9, 12), 0.3, 4)])
def test_the_width_follows_the_diagonal(size, ratio, width) -> None:
    """The last one is 4.5: Python rounds to the even neighbour, as the official tools do."""
    assert band_width(*size, ratio) == width


def test_a_ratio_that_cannot_be() -> None:
    with pytest.raises(ConfigError, match="ratio"):
        BoundaryIoU(3, 0)
