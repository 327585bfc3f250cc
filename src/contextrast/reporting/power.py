"""How many seeds it takes to tell a difference of a given size from nothing."""

import math
from bisect import bisect_left
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from contextrast.reporting.blocks import Residual
from contextrast.reporting.simultaneous import simultaneous_quantile

MOST_SEEDS: Final = 1000
"""More seeds than this are no plan; the answer is then None."""

_NODES, _HALF_WEIGHTS = np.polynomial.legendre.leggauss(200)
_SHARES, _WEIGHTS = (_NODES + 1) / 2, _HALF_WEIGHTS / 2  # of a mean over 0..1


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
    # Mean over the deviation's own distribution; scipy's noncentral t answers NaN for many of these shifts.
    bounds = quantile * np.sqrt(stats.chi2.ppf(_SHARES, freedom) / freedom)
    return float(_WEIGHTS @ (stats.norm.sf(bounds - shift) + stats.norm.sf(bounds + shift)))


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

    found = bisect_left(range(2, MOST_SEEDS + 1), True, key=enough)
    return found + 2 if found + 2 <= MOST_SEEDS else None
