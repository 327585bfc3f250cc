"""Spreads and paired intervals are scipy's."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from contextrast.reporting.estimates import paired_difference, spread

scores = st.dictionaries(st.integers(0, 9), st.floats(0, 1), max_size=6)


@given(scores, scores)
def test_the_interval_is_scipys_paired_test(values, baseline):
    shared = sorted(set(values) & set(baseline))
    found = paired_difference(values, baseline)
    if not shared:
        assert found is None
        return
    differences = [values[seed] - baseline[seed] for seed in shared]
    assert found.mean == pytest.approx(np.mean(differences), abs=1e-12)
    assert found.count == len(shared)
    if len(shared) == 1:
        assert (found.low, found.high) == (None, None)
    elif np.std(differences) > 1e-9:  # scipy has no interval of equal values
        first, second = ([numbers[seed] for seed in shared] for numbers in (values, baseline))
        expected = stats.ttest_rel(first, second).confidence_interval(0.95)
        assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_equal_differences_have_an_interval_without_width():
    found = paired_difference({0: 0.5, 1: 0.75}, {0: 0.25, 1: 0.5})
    assert (found.low, found.mean, found.high) == (0.25, 0.25, 0.25)


def test_confidence_widens_the_interval():
    values, baseline = {0: 0.5, 1: 0.7, 2: 0.4}, {0: 0.4, 1: 0.4, 2: 0.4}
    narrow, wide = (paired_difference(values, baseline, confidence) for confidence in (0.5, 0.99))
    assert wide.low < narrow.low < narrow.high < wide.high


def test_spread_has_the_sample_deviation():
    found = spread([0.5, 0.6, 0.7])
    assert (found.mean, found.std, found.count) == pytest.approx((0.6, 0.1, 3))
    assert spread([0.5]).std is None
    assert spread([]) is None
