"""Scales of the page's plots: from values to places in a drawing."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from matplotlib.ticker import MaxNLocator


@dataclass(frozen=True)
class Axis:
    """A linear scale.

    Attributes:
        low: Value at ``start``.
        high: Value at ``end``, greater than ``low``.
        start: Place of ``low`` in the drawing.
        end: Place of ``high``; smaller than ``start`` on an axis that points up.
    """

    low: float
    high: float
    start: float = 0.0
    end: float = 100.0

    @classmethod
    def around(cls, values: Iterable[float], start: float = 4.0, end: float = 96.0) -> "Axis":
        """The axis that just holds some values; any axis where there are none."""
        known = [value for value in values if math.isfinite(value)]
        low, high = (min(known), max(known)) if known else (0.0, 1.0)
        if high - low < 1e-12 * max(1.0, abs(high)):  # a single value lies in the middle
            low, high = low - 0.005, high + 0.005
        return cls(low, high, start, end)

    def place(self, value: float) -> float:
        """Where a value lies, to a hundredth of a unit; values beyond an end lie at the end."""
        share = min(1.0, max(0.0, (value - self.low) / (self.high - self.low)))
        return round(self.start + share * (self.end - self.start), 2)

    def ticks(self, most: int = 5) -> list[tuple[float, str]]:
        """Places and labels of round values on the axis."""
        values = [float(value) for value in MaxNLocator(most).tick_values(self.low, self.high)]
        inside = [value for value in values if self.low <= value <= self.high]
        return [(self.place(value), f"{0.0 if abs(value) < 1e-12 else value:.4g}") for value in inside]
