"""Settings against baselines over seeds, as a randomised block design: each seed is a block."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contextrast.reporting.estimates import Difference
from contextrast.reporting.simultaneous import simultaneous_quantile

Scores = Mapping[int, float]
"""A setting's score by seed."""


@dataclass(frozen=True)
class Residual:
    """What is left of the scores once settings and seeds are accounted for.

    Attributes:
        deviation: Pooled standard deviation of a single run; that of a difference on one seed is √2 times as large.
        freedom: Degrees of freedom it rests on.
    """

    deviation: float
    freedom: int


@dataclass(frozen=True)
class BlockDifferences:
    """Differences of one comparison.

    Attributes:
        differences: One a setting; None for one without a baseline, and where no seeds lead from one to the other.
        residual: None where every score is explained by its setting and its seed.
        correlation: Of the differences that there are, ``[K, K]``, in their order.
    """

    differences: Sequence[Difference | None]
    residual: Residual | None
    correlation: NDArray[np.float64]


def block_differences(rows: Sequence[Scores], baselines: Sequence[int | None]) -> BlockDifferences:
    """How much higher settings score than their baselines, from all scores of a comparison together.

    Least squares of score = setting + seed + error. A seed that is kind to one setting is kind to all, which cancels;
    with the same seeds for setting and baseline the difference is the mean of the paired differences. A setting that
    lacks seeds is corrected for those it has. The errors of all settings together give one standard deviation, and the
    intervals hold together: see `simultaneous_quantile`. Two settings alone give Student's paired interval.

    Args:
        rows: Scores of each setting.
        baselines: Place of each setting's baseline; None for a setting that is only a baseline.
    """
    design, scores, columns = _design(rows)
    wanted = [
        None if base is None else _contrast(place, base, len(rows), columns) for place, base in enumerate(baselines)
    ]
    inverse = np.linalg.pinv(design.T @ design) if len(scores) else np.zeros((columns, columns))
    projection = inverse @ (design.T @ design)
    kept = [
        place
        for place, contrast in enumerate(wanted)
        if contrast is not None and len(scores) and np.allclose(contrast @ projection, contrast, atol=1e-8)
    ]
    contrasts = np.array([wanted[place] for place in kept]).reshape(len(kept), columns)
    estimates = inverse @ design.T @ scores if len(scores) else np.zeros(columns)
    residual = _residual(design, scores, estimates)
    covariance = contrasts @ inverse @ contrasts.T
    errors = np.sqrt(np.diag(covariance))
    correlation = covariance / np.outer(errors, errors) if kept else covariance
    halves: list[float | None] = [None] * len(kept)
    if residual is not None and kept:
        reach = simultaneous_quantile(correlation, residual.freedom) * residual.deviation
        halves = [reach * float(error) for error in errors]
    differences: list[Difference | None] = [None] * len(rows)
    for place, estimate, half in zip(kept, contrasts @ estimates, halves, strict=True):
        base = baselines[place]
        assert base is not None
        shared = len(set(rows[place]) & set(rows[base]))
        low, high = (None, None) if half is None else (float(estimate) - half, float(estimate) + half)
        differences[place] = Difference(float(estimate), low, high, shared)
    return BlockDifferences(differences, residual, correlation)


def _design(rows: Sequence[Scores]) -> tuple[NDArray[np.float64], NDArray[np.float64], int]:
    """Indicators of setting and seed ``[scores, columns]``, the scores, and the number of columns."""
    seeds = sorted({seed for row in rows for seed in row})
    columns = len(rows) + len(seeds)
    cells = [(place, seed) for place, row in enumerate(rows) for seed in row]
    design = np.zeros((len(cells), columns))
    for number, (place, seed) in enumerate(cells):
        design[number, place] = design[number, len(rows) + seeds.index(seed)] = 1
    return design, np.array([rows[place][seed] for place, seed in cells]), columns


def _contrast(place: int, base: int, rows: int, columns: int) -> NDArray[np.float64]:
    contrast = np.zeros(columns)
    contrast[place] += 1
    contrast[base] -= 1
    assert place != base, f"row {place} of {rows} is no baseline of itself"
    return contrast


def _residual(
    design: NDArray[np.float64], scores: NDArray[np.float64], estimates: NDArray[np.float64]
) -> Residual | None:
    freedom = len(scores) - int(np.linalg.matrix_rank(design)) if len(scores) else 0
    if freedom < 1:
        return None
    left = scores - design @ estimates
    return Residual(math.sqrt(float(left @ left) / freedom), freedom)
