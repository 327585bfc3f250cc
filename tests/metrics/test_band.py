"""B-mIoU against worked examples and scipy."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from contextrast.errors import ConfigError
from contextrast.metrics import BandMeanIoU
from contextrast.metrics.band import boundary_band
from tests.metrics.examples import OUTLINES_PREDICTION, OUTLINES_TARGET, OUTLINES_VOID

MAPS = hnp.arrays(np.int64, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.sampled_from([0, 1, 2, 255]))


def batch(array):
    return torch.from_numpy(array)[None]


@pytest.mark.parametrize(
    ("target", "threshold", "pixels", "classes", "mean"),
    [
        (OUTLINES_TARGET, 1, 119, (0.376344, 0.316667, 0.291667), 0.328226),
        (OUTLINES_TARGET, 2, 239, (0.602410, 0.548387, 0.478261), 0.543019),
        (OUTLINES_TARGET, 3, 345, (0.719149, 0.641026, 0.593220), 0.651132),
        (OUTLINES_TARGET, 5, 502, (0.810345, 0.702128, 0.696203), 0.736225),
        (OUTLINES_VOID, 1, 113, None, None),
        (OUTLINES_VOID, 3, 305, (0.671642, 0.621622, 0.593220), 0.628828),
    ],
)
def test_worked_examples(target, threshold, pixels, classes, mean) -> None:
    assert int(boundary_band(batch(target), threshold, 3).sum()) == pixels
    measure = BandMeanIoU(3, [threshold])
    measure.update(batch(OUTLINES_PREDICTION), batch(target))
    report = measure.report(["a", "b", "c"])
    if mean is not None:
        assert report.per_class[f"b_iou_{threshold}"] == pytest.approx(classes, abs=5e-7)
        assert report.scores[f"b_miou_{threshold}"] == pytest.approx(mean, abs=5e-7)


@settings(max_examples=80, deadline=None)
@given(MAPS, st.sampled_from([0.5, 1, 1.5, 2, 3, 4.2, 5, 9]))
def test_the_band_is_that_of_scipys_distance(target, threshold) -> None:
    edges = np.zeros(target.shape, bool)
    for (row, column), value in np.ndenumerate(target):
        for y, x in ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)):
            if 0 <= y < target.shape[0] and 0 <= x < target.shape[1] and 255 not in (value, target[y, x]):
                edges[row, column] |= target[y, x] != value
    distance = ndimage.distance_transform_edt(~edges) if edges.any() else np.full(target.shape, math.inf)
    expected = (distance < threshold) & (target != 255)
    np.testing.assert_array_equal(boundary_band(batch(target), threshold, 3)[0].numpy(), expected)


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_counts_are_those_of_the_pixels_in_the_band(data) -> None:
    target = data.draw(MAPS)
    prediction = data.draw(hnp.arrays(np.int64, target.shape, elements=st.sampled_from([-1, 0, 1, 2, 255])))
    measure = BandMeanIoU(3, [1, 3])
    measure.update(batch(prediction), batch(target))
    for row, threshold in zip(measure.compute().tolist(), (1, 3), strict=True):
        band = boundary_band(batch(target), threshold, 3)[0].numpy()
        for train_id, iou in enumerate(row):
            labelled, predicted = band & (target == train_id), band & (prediction == train_id)
            union = (labelled | predicted).sum()
            expected = (labelled & predicted).sum() / union if union else math.nan
            assert iou == pytest.approx(expected, nan_ok=True)


def test_several_thresholds_are_named_apart() -> None:
    measure = BandMeanIoU(3, [1, 2.5])
    measure.update(batch(OUTLINES_PREDICTION), batch(OUTLINES_TARGET))
    assert list(measure.report(["a", "b", "c"]).scores) == ["b_miou_1", "b_miou_2.5"]


@pytest.mark.parametrize("thresholds", [[], [0], [3, -1]])
def test_thresholds_that_cannot_be(thresholds) -> None:
    with pytest.raises(ConfigError, match="thresholds"):
        BandMeanIoU(3, thresholds)
