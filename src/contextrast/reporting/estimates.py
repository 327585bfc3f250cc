"""Means over seeds, their spread, and differences between runs of the same seeds with their intervals."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats


@dataclass(frozen=True)
class Spread:
    """Mean and sample standard deviation of ``count`` values; one value has no deviation."""

    mean: float
    std: float | None
    count: int


@dataclass(frozen=True)
class Difference:
    """Mean of ``count`` paired differences and its interval; one pair has none."""

    mean: float
    low: float | None
    high: float | None
    count: int


def spread(values: Sequence[float]) -> Spread | None:
    """Mean and sample standard deviation (divisor n − 1) of some values; None if there are none."""
    if not values:
        return None
    return Spread(float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else None, len(values))


def paired_difference(
    values: Mapping[int, float], baseline: Mapping[int, float], confidence: float = 0.95
) -> Difference | None:
    """How much higher values are than a baseline's of the same seeds.

    What a seed brings to both, such as the order of samples, cancels in the pair; the interval is Student's t for the
    mean of the pairs' differences.

    Args:
        values: By seed.
        baseline: By seed; seeds that only one of both has are left out.
        confidence: Of the interval.

    Returns:
        The difference, or None if they share no seed.
    """
    differences = spread([value - baseline[seed] for seed, value in values.items() if seed in baseline])
    if differences is None:
        return None
    if differences.std is None:
        return Difference(differences.mean, None, None, differences.count)
    error = differences.std / math.sqrt(differences.count)
    half = float(stats.t.ppf((1 + confidence) / 2, differences.count - 1)) * error
    return Difference(differences.mean, differences.mean - half, differences.mean + half, differences.count)
