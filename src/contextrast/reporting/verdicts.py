"""What a comparison says of a setting, in words, and what it would take to say more."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from contextrast.reporting.blocks import Residual
from contextrast.reporting.estimates import Difference
from contextrast.reporting.power import seeds_to_tell

DIFFERENCES: Final = (0.005, 0.01)
"""Differences of half a point and of one, as fractions."""

SHARE: Final = 0.8
"""Probability with which a true difference of such a size is told."""


@dataclass(frozen=True)
class Effort:
    """What telling a difference takes beyond what was run.

    Attributes:
        seeds: Further seeds of the setting or of its baseline, whichever lacks more.
        hours: Of training both as far as they lack them, by the median run of each; None where that is not recorded.
    """

    seeds: int
    hours: float | None


@dataclass(frozen=True)
class Verdict:
    """What can be said of a setting.

    Attributes:
        words: ``helps`` or ``hurts`` if its adjusted interval excludes 0, else ``cannot tell``.
        efforts: For each of `DIFFERENCES`; None where what runs vary by is not known, or no number of seeds is enough.
    """

    words: str
    efforts: Sequence[Effort | None]


@dataclass(frozen=True)
class Runs:
    """How many seeds a setting has, and how long one takes in seconds (None: not recorded)."""

    seeds: int
    seconds: float | None


def verdict(
    difference: Difference | None,
    row: Runs,
    baseline: Runs,
    residual: Residual | None,
    correlation: NDArray[np.float64],
) -> Verdict:
    """What a difference says.

    Args:
        difference: To the baseline.
        row: The setting's runs.
        baseline: Its baseline's.
        residual: What runs of this comparison vary by.
        correlation: Of all its differences.
    """
    efforts: list[Effort | None] = [None] * len(DIFFERENCES)
    if difference is not None and residual is not None:
        needed = [seeds_to_tell(size, residual, difference.count, correlation, SHARE) for size in DIFFERENCES]
        efforts = [None if seeds is None else _effort(seeds, row, baseline) for seeds in needed]
    return Verdict(words(difference), efforts)


def words(difference: Difference | None) -> str:
    """The verdict alone."""
    if difference is None or difference.low is None or difference.high is None:
        return "cannot tell"
    return "helps" if difference.low > 0 else "hurts" if difference.high < 0 else "cannot tell"


def _effort(seeds: int, row: Runs, baseline: Runs) -> Effort:
    """What is missing until setting and baseline have so many seeds."""
    missing = [(max(0, seeds - runs.seeds), runs.seconds) for runs in (row, baseline)]
    times = [0.0 if count == 0 else None if seconds is None else count * seconds for count, seconds in missing]
    known = [time for time in times if time is not None]
    return Effort(max(count for count, _ in missing), sum(known) / 3600 if len(known) == len(times) else None)
