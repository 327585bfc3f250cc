"""Training curves of runs, from the ``metrics.csv`` of their folders."""

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Final

from contextrast.reporting.page.axes import Axis
from contextrast.reporting.rows import Row
from contextrast.runs.reading import read_regular
from contextrast.runs.records import Run

_LEFT, _RIGHT, _TOP, _BOTTOM = 60, 632, 12, 244  # of the curves in a drawing of 640 by 290
_POINTS: Final = 120  # a line; more could not be told apart, and 60 runs would make the page slow
_MOST: Final = 4  # charts
_FIRST: Final = ("train/loss", "val/miou")
OF_MAPS: Final = ("gradients/ratio", "contrast/silent_share")
"""What the contrast does at each feature map: one chart per map, by the name's last part."""

_MOST_OF_MAPS: Final = 8
_SHOWN: Final = ("train/", "val/miou", *(f"{kind}/" for kind in OF_MAPS))

Points = list[tuple[float, float]]
"""Steps and values in the order of steps."""


@dataclass(frozen=True)
class Curve:
    """One run in a chart.

    Attributes:
        setting: Place of its row in the table.
        label: Setting and seed.
        points: As SVG writes them: ``x,y x,y``.
        last: The last value.
    """

    setting: int
    label: str
    points: str
    last: float


@dataclass(frozen=True)
class Chart:
    """A quantity over steps.

    Attributes:
        name: Its column, such as ``train/loss``.
        curves: One a run that has it.
        steps: Axis to the right.
        values: Axis upwards.
    """

    name: str
    curves: Sequence[Curve]
    steps: Axis
    values: Axis


def charts(rows: Sequence[Row], notes: list[str]) -> list[Chart]:
    """Charts of the losses and the mIoU of some rows' runs.

    Args:
        rows: Settings; runs of results, which have no folder, have no curves.
        notes: Gets what cannot be read.

    Returns:
        Loss, mIoU, and the loss's terms where runs have more than one, up to four charts; then `OF_MAPS`, up to eight.
    """
    histories = [(place, row.label, run, _history(run, notes)) for place, row in enumerate(rows) for run in row.runs]
    found = {name for *_, history in histories for name in history}
    of_maps = [name for kind in OF_MAPS for name in sorted(found) if name.startswith(f"{kind}/")]
    terms = found - {*_FIRST, *of_maps}
    names = [name for name in (*_FIRST, *(sorted(terms) if len(terms) > 1 else ())) if name in found]
    drawn = []
    for name in [*names[:_MOST], *of_maps[:_MOST_OF_MAPS]]:  # a single term is the loss itself
        lines = [
            (place, f"{label}, seed {run.seed}", history[name])
            for place, label, run, history in histories
            if name in history
        ]
        drawn.append(_chart(name, lines))
    return drawn


def history(path: Path) -> dict[str, Points]:
    """The losses, the mIoU and `OF_MAPS` in a ``metrics.csv``, up to 120 points of each: longer ones become means.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is no such file, or a huge one.
    """
    values: dict[str, dict[float, float]] = {}
    for line in csv.DictReader(StringIO(read_regular(path).decode("utf-8"), newline="")):
        step = float(line.get("step") or "nan")
        for name, text in line.items():
            if text and isinstance(name, str) and name.startswith(_SHOWN):
                value = float(text)
                if math.isfinite(value) and math.isfinite(step):
                    values.setdefault(name, {})[step] = value  # a resumed run writes some steps anew
    return {name: _thinned(sorted(by_step.items())) for name, by_step in values.items()}


def _history(run: Run, notes: list[str]) -> Mapping[str, Points]:
    path = run.path / "metrics.csv"
    if not path.is_file():
        return {}
    try:
        return history(path)
    except (OSError, ValueError, TypeError, csv.Error) as error:
        notes.append(f"{path} has no curves: {error}")
        return {}


def _thinned(points: Points) -> Points:
    """Up to `_POINTS` points: means of equal parts, in steps as in values."""
    size = math.ceil(len(points) / _POINTS)
    parts = [points[first : first + size] for first in range(0, len(points), size)]
    return [(sum(step for step, _ in part) / len(part), sum(value for _, value in part) / len(part)) for part in parts]


def _chart(name: str, lines: Sequence[tuple[int, str, Points]]) -> Chart:
    steps = Axis.around((step for *_, points in lines for step, _ in points), _LEFT, _RIGHT)
    values = Axis.around((value for *_, points in lines for _, value in points), _BOTTOM, _TOP)
    curves = []
    for setting, label, points in lines:
        text = " ".join(f"{steps.place(step):.1f},{values.place(value):.1f}" for step, value in points)
        curves.append(Curve(setting, label, text, points[-1][1]))
    return Chart(name, curves, steps, values)
