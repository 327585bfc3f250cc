"""The number of seeds is the smallest whose simulated experiments find the difference often enough."""

import math

import numpy as np
import pytest
from scipy import stats

from contextrast.reporting.blocks import Residual, block_differences
from contextrast.reporting.power import power, seeds_to_tell
from contextrast.reporting.simultaneous import simultaneous_quantile

FOUR = np.full((3, 3), 0.5) + 0.5 * np.eye(3)


def found_share(seeds, difference, deviation, repeats=400):
    """How often the first of three settings is told from the baseline, when all have so many seeds."""
    draw = np.random.default_rng(0)
    told = 0
    for _ in range(repeats):
        scores = deviation * draw.normal(size=(4, seeds)) + draw.normal(size=seeds)
        scores[1] += difference
        told += (
            block_differences([dict(enumerate(row)) for row in scores.tolist()], [None, 0, 0, 0]).differences[1].low > 0
        )
    return told / repeats


@pytest.mark.parametrize(("difference", "deviation", "seeds"), [(1.0, 0.7, 8), (1.0, 0.3, 3)])
def test_the_formula_is_what_simulated_experiments_find(difference, deviation, seeds):
    freedom = 3 * (seeds - 1)
    expected = power(difference, deviation, seeds, freedom, simultaneous_quantile(FOUR, freedom))
    assert 0.1 < expected < 0.97
    assert found_share(seeds, difference, deviation) == pytest.approx(expected, abs=0.07)  # three standard errors


def test_one_seed_fewer_is_not_enough():
    residual = Residual(0.5, 9)
    for difference in (0.5, 1.0):
        seeds = seeds_to_tell(difference, residual, 4, FOUR)

        def reached(number, difference=difference):
            freedom = max(1, 9 + number - 4)
            return power(difference, 0.5, number, freedom, simultaneous_quantile(FOUR, freedom))

        assert reached(seeds) >= 0.8 > reached(seeds - 1)
    assert seeds_to_tell(0.5, residual, 4, FOUR) > 3 * seeds_to_tell(1.0, residual, 4, FOUR)


def test_more_comparisons_take_more_seeds():
    residual = Residual(0.7, 12)
    assert seeds_to_tell(0.5, residual, 3, np.eye(1)) < seeds_to_tell(0.5, residual, 3, FOUR)


def test_without_noise_two_seeds_do_and_what_is_hopeless_has_no_number():
    assert seeds_to_tell(0.5, Residual(0.0, 3), 2, FOUR) == 2
    assert seeds_to_tell(0.001, Residual(1.0, 3), 2, FOUR) is None


@pytest.mark.parametrize("deviation", [0.001, 0.03, 0.13, 0.7])
def test_a_larger_difference_never_takes_more_seeds(deviation):
    sizes = (0.1, 0.3, 0.5, 0.8, 1.0, 1.5, 3.0, 30.0)
    needed = [seeds_to_tell(size, Residual(deviation, 13), 5, np.eye(7)) or math.inf for size in sizes]
    assert needed == sorted(needed, reverse=True)
    assert needed[-1] == 2


def test_power_is_that_of_the_noncentral_t_where_scipy_has_it():
    for shift in (0.2, 1.0, 3.0, 5.0):
        expected = stats.nct.sf(2.5, 13, shift) + stats.nct.cdf(-2.5, 13, shift)
        assert power(shift * math.sqrt(2 / 5), 1.0, 5, 13, 2.5) == pytest.approx(expected, abs=1e-5)
