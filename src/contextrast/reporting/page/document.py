"""Comparisons as one self-contained HTML page: tables, curves, classes, pictures, costs, commands."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from contextrast.reporting.comparison import Comparison
from contextrast.reporting.comparison_tables import bracketed, effort_text, explanation, quantity, signed_percent
from contextrast.reporting.page.axes import Axis
from contextrast.reporting.page.classes import class_scores
from contextrast.reporting.page.curves import OF_MAPS, Chart, charts
from contextrast.reporting.page.environment import Command, Surroundings, commands, surroundings
from contextrast.reporting.page.pictures import Gallery, gallery
from contextrast.reporting.rows import Row
from contextrast.reporting.tables import ABSENT, percent
from contextrast.reporting.verdicts import DIFFERENCES


@dataclass(frozen=True)
class Line:
    """A row of the table with what its small plots show, in their units.

    Attributes:
        row: The setting.
        dots: Places of the single scores.
        score: Places of mean − deviation, mean, mean + deviation; without a deviation all three are the mean's.
        interval: Places of the difference's low end, mean and high end; without an interval all three are the mean's,
            and ends beyond the axis lie at its end.
    """

    row: Row
    dots: Sequence[float]
    score: Sequence[float]
    interval: Sequence[float]


@dataclass(frozen=True)
class Section:
    """What the page shows of a comparison.

    Attributes:
        comparison: Its rows and notes.
        lines: The rows as they are drawn.
        scores: Axis of the scores.
        differences: Axis of the differences.
        charts: Training curves of losses and scores.
        of_maps: Training curves of what the contrast does at each feature map.
        data: What the page's script draws: classes, settings and pictures.
        gallery: Pictures; None where no run has their layers.
        commands: How its runs were started.
        surroundings: Where they took place.
        notes: Those of the comparison, and what could not be read or shown.
        explanation: What the numbers are.
        images: Whether any difference was looked at on other images.
    """

    comparison: Comparison
    lines: Sequence[Line]
    scores: Axis
    differences: Axis
    charts: Sequence[Chart]
    of_maps: Sequence[Chart]
    data: Mapping[str, Any]
    gallery: Gallery | None
    commands: Sequence[Command]
    surroundings: Sequence[Surroundings]
    notes: Sequence[str]
    explanation: str
    images: bool


def html_page(comparisons: Sequence[Comparison], left_out: Mapping[Path, str]) -> str:
    """A page that needs nothing but itself: no request, no library, readable from a file.

    Args:
        comparisons: What `compare` found; runs of different datasets are in sections of their own.
        left_out: What is no run or cannot be read, and why.

    Returns:
        HTML. All text from run folders is escaped.
    """
    # Whoever sends a run folder could write into it what a browser would execute: everything is escaped.
    environment = Environment(
        loader=PackageLoader("contextrast.reporting.page"), autoescape=True, undefined=StrictUndefined
    )
    environment.filters.update(percent=_percent, points=_points, quantity=quantity, duration=_duration, fact=_fact)
    environment.filters.update(interval=bracketed, effort=effort_text)
    rows = [row for comparison in comparisons for row in comparison.rows]
    return environment.get_template("report.html").render(
        sections=[_section(comparison) for comparison in comparisons],
        counted=sum(len(row.runs) for row in rows),
        settings=len(rows),
        left_out=left_out,
        ABSENT=ABSENT,
        DIFFERENCES=DIFFERENCES,
    )


def _section(comparison: Comparison) -> Section:
    rows = comparison.rows
    notes: list[str] = list(comparison.notes)
    curves = charts(rows, notes)
    of_maps = [chart for chart in curves if chart.name.startswith(OF_MAPS)]
    drawn = [chart for chart in curves if chart not in of_maps]
    pictures = gallery(rows, comparison.baseline, notes)
    scores = Axis.around([value for row in rows for value in (*row.scores.values(), *_ends(row))])
    differences = Axis.around([0.0, *_extent(rows)])
    data = class_scores(comparison) | {"pictures": pictures.data if pictures else None}
    started, places = commands(rows, notes), surroundings(rows, notes)
    lines = [_line(row, scores, differences) for row in rows]
    said, images = explanation(comparison), any(row.measured[row.metric].images for row in rows)
    return Section(
        comparison, lines, scores, differences, drawn, of_maps, data, pictures, started, places, notes, said, images
    )


def _line(row: Row, scores: Axis, differences: Axis) -> Line:
    return Line(
        row=row,
        dots=[scores.place(value) for value in row.scores.values()],
        score=[scores.place(value) for value in _ends(row)],
        interval=[differences.place(value) for value in _interval(row)],
    )


def _ends(row: Row) -> list[float]:
    if row.spread is None:
        return []
    mean, half = row.spread.mean, row.spread.std or 0.0
    return [mean - half, mean, mean + half]


def _interval(row: Row) -> list[float]:
    if row.difference is None:
        return []
    mean, low, high = row.difference.mean, row.difference.low, row.difference.high
    return [mean if low is None else low, mean, mean if high is None else high]


def _extent(rows: Sequence[Row]) -> list[float]:
    """What the axis of differences has to hold: intervals of two pairs are so wide that the others would vanish."""
    firm = [row for row in rows if row.difference and row.difference.count > 2]
    means = [row.difference.mean for row in rows if row.difference]
    return [*means, *(value for row in firm or rows for value in _interval(row))]


def _percent(value: float | None) -> str:
    return ABSENT if value is None else percent(value)


def _points(value: float | None) -> str:
    return ABSENT if value is None else signed_percent(value)


def _fact(value: Any) -> str:
    """A value of ``environment.json`` as people write it."""
    if value is None or value == []:
        return ABSENT
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return ABSENT
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{seconds / 60:.1f} min"
