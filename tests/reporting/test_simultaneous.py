"""Adjusted quantiles are those of Dunnett's tables and of scipy, and depend on nothing but the question."""

import numpy as np
import pytest
from scipy import stats

from contextrast.reporting.simultaneous import simultaneous_quantile


def shared_baseline(count, correlation=0.5):
    return np.full((count, count), correlation) + (1 - correlation) * np.eye(count)


# Dunnett, Biometrics 20 (1964), Table II: two-sided 5 % by degrees of freedom, for 1, 2, 3, 4, 5, 9 comparisons.
PUBLISHED = {
    5: (2.57, 3.03, 3.29, 3.48, 3.62, 3.97),
    10: (2.23, 2.57, 2.76, 2.89, 2.99, 3.24),
    20: (2.09, 2.38, 2.54, 2.65, 2.73, 2.95),
    60: (2.00, 2.27, 2.41, 2.51, 2.58, 2.77),
}


@pytest.mark.parametrize("freedom", PUBLISHED)
def test_differences_to_one_baseline_have_dunnetts_values(freedom):
    for count, expected in zip((1, 2, 3, 4, 5, 9), PUBLISHED[freedom], strict=True):
        found = simultaneous_quantile(shared_baseline(count), freedom)
        assert found == pytest.approx(expected, abs=0.02), count  # Dunnett rounded, and approximated beyond three


@pytest.mark.parametrize("sizes", [(5, 5, 5, 5), (3, 6, 4), (8, 2, 2, 2)])
def test_independent_samples_have_scipys_intervals(sizes):
    """scipy knows one-way layouts: their correlation and degrees of freedom give its intervals."""
    draw = np.random.default_rng(1)
    control, *samples = (draw.normal(size=size) for size in sizes)
    found = stats.dunnett(*samples, control=control, rng=np.random.default_rng(0)).confidence_interval(0.95)
    freedom = sum(sizes) - len(sizes)
    pooled = np.sqrt(sum(((group - group.mean()) ** 2).sum() for group in (control, *samples)) / freedom)
    errors = np.array([pooled * np.sqrt(1 / size + 1 / sizes[0]) for size in sizes[1:]])
    halves = (np.array(found.high) - np.array(found.low)) / 2
    covariance = np.full((len(samples), len(samples)), 1 / sizes[0]) + np.diag([1 / size for size in sizes[1:]])
    scale = np.sqrt(np.diag(covariance))
    quantile = simultaneous_quantile(covariance / np.outer(scale, scale), freedom)
    assert halves / errors == pytest.approx(quantile, rel=0.01)


def test_one_comparison_is_students():
    assert simultaneous_quantile(np.eye(1), 7, 0.9) == pytest.approx(stats.t.ppf(0.95, 7))


def test_independent_comparisons_multiply_their_confidence():
    expected = stats.norm.ppf((1 + 0.95 ** (1 / 4)) / 2)
    assert simultaneous_quantile(np.eye(4), 10**7) == pytest.approx(expected, abs=0.005)


def test_a_comparison_that_is_there_twice_counts_once():
    assert simultaneous_quantile(np.ones((3, 3)), 8) == pytest.approx(stats.t.ppf(0.975, 8), abs=0.01)


def test_the_same_question_has_the_same_answer():
    assert simultaneous_quantile(shared_baseline(6), 12) == simultaneous_quantile(shared_baseline(6), 12)
