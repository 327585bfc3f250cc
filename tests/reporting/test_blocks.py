"""Differences of a block design are least squares', their intervals are Student's for two rows and hold together."""

import numpy as np
import pytest
from scipy import stats

from contextrast.reporting.blocks import block_differences


def table(scores):
    """Scores of a full table ``[rows, seeds]`` by seed; NaN is a run that is missing."""
    return [{seed: float(x) for seed, x in enumerate(row) if not np.isnan(x)} for row in np.asarray(scores)]


def draw(rows, seeds, effects=0.0, seed=0):
    generator = np.random.default_rng(seed)
    noise = generator.normal(size=(rows, seeds))
    return noise + 5 * generator.normal(size=seeds) + np.broadcast_to(effects, rows)[:, None]


def test_two_rows_have_students_paired_interval():
    scores = draw(2, 5)
    found = block_differences(table(scores), [None, 0]).differences[1]
    expected = stats.ttest_rel(scores[1], scores[0]).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.count == 5


def test_a_full_table_has_the_anovas_residual():
    scores = draw(4, 6)
    found = block_differences(table(scores), [None, 0, 0, 0])
    left = scores - scores.mean(0) - scores.mean(1, keepdims=True) + scores.mean()
    assert found.residual.freedom == 15
    assert found.residual.deviation == pytest.approx(np.sqrt((left**2).sum() / 15))
    assert found.correlation == pytest.approx(np.full((3, 3), 0.5) + 0.5 * np.eye(3))
    for row, difference in zip(scores[1:], found.differences[1:], strict=True):
        assert difference.mean == pytest.approx((row - scores[0]).mean())
        half = 2.60 * found.residual.deviation * np.sqrt(2 / 6)  # Dunnett's table: 3 comparisons, 15 degrees: 2.61
        assert difference.high - difference.mean == pytest.approx(half, rel=0.01)


def test_missing_runs_are_what_least_squares_makes_of_them():
    """Against an ordinary regression on dummies without the redundant columns."""
    scores = draw(4, 5)
    for row, seed in ((1, 3), (1, 4), (2, 0), (3, 1), (3, 2), (3, 3), (3, 4)):
        scores[row, seed] = np.nan
    cells = [(row, seed) for row in range(4) for seed in range(5) if not np.isnan(scores[row, seed])]
    design = np.array([[1, *(row == k for k in (1, 2, 3)), *(seed == k for k in (1, 2, 3, 4))] for row, seed in cells])
    design = design.astype(float)
    values = np.array([scores[cell] for cell in cells])
    effects, (squares,), rank, _ = np.linalg.lstsq(design, values, rcond=None)
    found = block_differences(table(scores), [None, 0, 0, 0])
    freedom = len(values) - rank
    assert found.residual.freedom == freedom
    assert found.residual.deviation == pytest.approx(np.sqrt(squares / freedom))
    assert [difference.mean for difference in found.differences[1:]] == pytest.approx(effects[1:4].tolist())
    errors = np.sqrt(squares / freedom * np.diag(np.linalg.inv(design.T @ design))[1:4])
    halves = np.array([difference.high - difference.mean for difference in found.differences[1:]])
    assert np.ptp(halves / errors) == pytest.approx(0, abs=1e-9), "one quantile for all"
    assert [difference.count for difference in found.differences[1:]] == [3, 4, 1]


def test_a_row_of_one_seed_is_freed_of_that_seeds_luck():
    """The baseline had luck on seed 0; rows with all seeds show how much of it was the seed's."""
    full = [[10.0, 1.0, 1.0], [10.0, 1.0, 1.0], [10.0, 1.0, 1.0]]
    scores = [*full, [10.5, np.nan, np.nan]]
    found = block_differences(table(scores), [None, 0, 0, 0])
    assert found.differences[3].mean == pytest.approx(0.5)
    assert found.residual.deviation == pytest.approx(0, abs=1e-9)


def test_any_row_can_be_the_baseline_of_any_other():
    scores = draw(4, 4, effects=[0, 3, 3.5, 1])
    found = block_differences(table(scores), [None, 0, 1, 0]).differences
    assert found[2].mean == pytest.approx((scores[2] - scores[1]).mean())
    assert found[1].mean == pytest.approx((scores[1] - scores[0]).mean())
    assert found[0] is None


def test_what_cannot_be_told_is_none():
    alone = block_differences([{0: 1.0}, {1: 2.0}], [None, 0])
    assert alone.differences == [None, None]
    assert alone.residual is None
    single = block_differences([{0: 1.0}, {0: 2.0}], [None, 0]).differences[1]
    assert (single.mean, single.low, single.high, single.count) == (pytest.approx(1.0), None, None, 1)
    assert block_differences([{}, {}], [None, 0]).differences == [None, None]
    assert block_differences([], []).differences == []


def test_the_intervals_hold_together_as_often_as_they_say():
    """400 tables of four rows and five seeds, one run missing: 95 % ± 3.3 % (three standard errors)."""
    effects = np.array([0.0, 1.0, -1.0, 0.5])
    held = 0
    for number in range(400):
        scores = draw(4, 5, effects, seed=number)
        scores[2, 4] = np.nan
        found = block_differences(table(scores), [None, 0, 0, 0]).differences
        held += all(x.low <= effects[place] <= x.high for place, x in enumerate(found) if x is not None)
    assert abs(held / 400 - 0.95) < 0.033
