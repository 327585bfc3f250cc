"""How many seeds it takes to tell a difference of a given size from nothing."""

import math
from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from contextrast.reporting.blocks import Residual
from contextrast.reporting.simultaneous import simultaneous_quantile

MOST_SEEDS: Final = 1000
"""More seeds than this are no plan; the answer is then None."""


def power(difference: float, deviation: float, seeds: int, freedom: int, quantile: float) -> float:
    """Probability that a true difference is told from nothing, by an interval of some standard errors to each side.

    Args:
        difference: True difference of two settings.
        deviation: Standard deviation of a single run, without what its seed brings to all settings.
        seeds: That both settings have.
        freedom: Degrees of freedom of the deviation's estimate.
        quantile: Standard errors that the interval reaches, see `simultaneous_quantile`.
    """
    if deviation == 0:
        return 1.0
    shift = abs(difference) / (deviation * math.sqrt(2 / seeds))
    if shift > 30:  # scipy's series lose their footing, and nothing is left to compute
        return 1.0
    return float(stats.nct.sf(quantile, freedom, shift) + stats.nct.cdf(-quantile, freedom, shift))


def seeds_to_tell(
    difference: float,
    residual: Residual,
    shared: int,
    correlation: NDArray[np.float64],
    probability: float = 0.8,
) -> int | None:
    """Fewest seeds, of setting and baseline alike, that tell a difference in most cases.

    Each further seed of both adds one degree of freedom to those there are; the level stays that of all comparisons.

    Args:
        difference: That has to be told, above 0.
        residual: What single runs vary by.
        shared: Seeds that both have already.
        correlation: Of the comparison's differences.
        probability: Power that is asked for.

    Returns:
        The number, at least 2, or None where `MOST_SEEDS` are not enough.
    """

    def enough(seeds: int) -> bool:
        freedom = max(1, residual.freedom + seeds - shared)
        quantile = simultaneous_quantile(correlation, freedom)
        return power(difference, residual.deviation, seeds, freedom, quantile) >= probability

    return _first(enough, 2, MOST_SEEDS)


def _first(holds: Callable[[int], bool], low: int, high: int) -> int | None:
    """The lowest number for which something holds that holds for all higher ones, asked from below.

    Bisection of the whole range would ask for so many seeds that scipy's series answer NaN.
    """
    step = low
    while not holds(step):
        low = step + 1
        if step == high:
            return None
        step = min(2 * step, high)
    while low < step:
        middle = (low + step) // 2
        low, step = (low, middle) if holds(middle) else (middle + 1, step)
    return low
