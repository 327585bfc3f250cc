"""Comparisons as people read them: tables on the terminal, and Markdown."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.measure import Measurement
from rich.text import Text

from contextrast.reporting.bootstrap import RESAMPLES, Interval
from contextrast.reporting.comparison import Comparison
from contextrast.reporting.estimates import Difference, Spread
from contextrast.reporting.rows import Measured, Row
from contextrast.reporting.tables import ABSENT, percent
from contextrast.reporting.verdicts import DIFFERENCES, SHARE, Effort
from contextrast.terminal import Table


@dataclass(frozen=True)
class _Column:
    """A column: its heading, and the lines of a row's cell."""

    heading: str
    lines: Callable[[Row], Sequence[str]]


def terminal_tables(comparison: Comparison, console: Console) -> list[Table]:
    """A comparison for the terminal: one row per setting, in several tables where one would not fit into its width."""
    parts = {
        "": [_SEEDS, *_metric(comparison), *_verdict(comparison)],
        "measures": [_measure(measure.key, measure.heading) for measure in comparison.measures[1:]],
        "how sure": _certainty(comparison),
        "costs": _COSTS,
    }
    whole = _table(comparison.title, comparison, [column for columns in parts.values() for column in columns])
    if Measurement.get(console, console.options.update(width=1000), whole).maximum <= console.width:
        return [whole]
    return [
        _table(f"{comparison.title}: {part}" if part else comparison.title, comparison, columns)
        for part, columns in parts.items()
        if columns
    ]


def markdown(comparisons: Sequence[Comparison]) -> str:
    """Comparisons as Markdown: a heading, a table, what its numbers are, and its notes for each."""
    return "\n\n".join(_section(comparison) for comparison in comparisons) + "\n"


def explanation(comparison: Comparison) -> str:
    """What the numbers of a comparison are, in a few sentences; empty where there is nothing but means."""
    count, residual = comparison.comparisons, comparison.residual
    if not count:
        return ""
    sentences = ["Differences are in points, by least squares over settings and seeds."]
    if residual is not None:
        together = f", adjusted (Dunnett) so that all {count} hold together" if count > 1 else ""
        sentences.append(f"Intervals are those of 95 %{together}; each measure is adjusted by itself.")
        sentences.append(
            f"By {comparison.measures[0].heading}, runs vary by {100 * residual.deviation:.2f} points beyond setting "
            f"and seed ({residual.freedom} degree{'' if residual.freedom == 1 else 's'} of freedom)."
        )
        sentences.append(
            "Further seeds, and hours of training for setting and baseline, are those that tell such a true "
            f"difference with {100 * SHARE:.0f} % probability."
        )
    if any(measured.images for row in comparison.rows for measured in row.measured.values()):
        sentences.append(
            f"Other images: the middle 95 % of the difference over {RESAMPLES} resamples of the images, with the same "
            "networks."
        )
    return " ".join(sentences)


def signed_percent(value: float) -> str:
    """A difference of fractions in percentage points: ``"+0.43"``."""
    return f"{100 * value:+.2f}"


def bracketed(interval: Interval | Difference | None) -> str:
    """An interval in points, ``"[-0.65, +1.50]"``, or a dash."""
    if interval is None or interval.low is None or interval.high is None:
        return ABSENT
    return f"[{signed_percent(interval.low)}, {signed_percent(interval.high)}]"


def effort_text(effort: Effort | None) -> str:
    """What telling a difference takes: ``"9 seeds, 7.2 h"``, ``"none"`` if no further seed, or a dash."""
    if effort is None:
        return ABSENT
    if effort.seeds == 0:
        return "none"
    seeds = f"{effort.seeds} {'seed' if effort.seeds == 1 else 'seeds'}"
    return seeds if effort.hours is None else f"{seeds}, {_hours(effort.hours)}"


def _hours(hours: float) -> str:
    if hours < 1:
        return f"{60 * hours:.0f} min" if hours > 1 / 60 or hours == 0 else "< 1 min"
    return f"{hours:.1f} h" if hours < 10 else f"{hours:.0f} h"


def _table(title: str, comparison: Comparison, columns: Sequence[_Column]) -> Table:
    """A table of some columns; settings have one override a line."""
    cells = [[Text("\n".join(column.lines(row)), justify="right") for column in columns] for row in comparison.rows]
    apart = any("\n" in cell.plain for line in cells for cell in line)
    table = Table(title, show_lines=apart)
    for number, heading in enumerate(["setting", *(column.heading for column in columns)]):
        table.add_column(heading, justify="right" if number else "left", overflow="fold", no_wrap=number > 0)
    for row, line in zip(comparison.rows, cells, strict=True):
        table.add_row("\n".join(_setting(row, comparison)), *line)
    return table


def _setting(row: Row, comparison: Comparison) -> list[str]:
    """The row's name, one override a line, and its baseline where that is one of its own."""
    if row.baseline is None or row.baseline == comparison.baseline:
        return row.label.split(" ")
    first, *others = row.baseline.split(" ")
    return [*row.label.split(" "), f"against {first}", *(f"  {other}" for other in others)]


def _metric(comparison: Comparison) -> list[_Column]:
    """The score and its difference."""
    score = _Column(f"{comparison.measures[0].heading} %", lambda row: [_spread(row.spread)])
    if len(comparison.rows) == 1:
        return [score]
    return [score, _Column("difference\n95 % interval", lambda row: _difference(row, row.measured[row.metric]))]


def _difference(row: Row, measured: Measured) -> list[str]:
    if row.baseline is None:
        return ["baseline"]
    if measured.difference is None:
        return [ABSENT]
    return [signed_percent(measured.difference.mean), bracketed(measured.difference)]


def _verdict(comparison: Comparison) -> list[_Column]:
    if len(comparison.rows) == 1:
        return []
    return [_Column("verdict", lambda row: [row.verdict.words if row.verdict else ""])]


def _measure(key: str, heading: str) -> _Column:
    """A further measure: its mean and deviation, its difference and that difference's interval below each other."""

    def lines(row: Row) -> list[str]:
        measured = row.measured[key]
        if row.baseline is None or measured.difference is None:
            return [_spread(measured.spread)]
        return [_spread(measured.spread), *_difference(row, measured)]

    return _Column(f"{heading} %", lines)


def _certainty(comparison: Comparison) -> list[_Column]:
    """How the difference depends on the images, and what would tell differences of some sizes."""
    columns = []
    if any(row.measured[row.metric].images for row in comparison.rows):
        columns.append(_Column("other images", _other_images))
    if comparison.residual is not None and comparison.comparisons:
        columns += [_effort(place, size) for place, size in enumerate(DIFFERENCES)]
    return columns


def _other_images(row: Row) -> list[str]:
    return ["" if row.baseline is None else bracketed(row.measured[row.metric].images)]


def _effort(place: int, size: float) -> _Column:
    return _Column(
        f"to tell {100 * size:.1f}", lambda row: [effort_text(row.verdict.efforts[place]) if row.verdict else ""]
    )


_SEEDS = _Column(
    "seeds", lambda row: [str(row.seeds) if len(row.runs) == row.seeds else f"{len(row.runs)} of {row.seeds}"]
)

_COSTS = [
    _Column("parameters", lambda row: [quantity(row.deployed_parameters, 1e6, "M")]),
    _Column("training\nonly", lambda row: [quantity(row.training_only_parameters, 1e6, "M")]),
    _Column("step", lambda row: [quantity(row.step_seconds, 1e-3, "ms", digits=0)]),
    _Column("memory", lambda row: [quantity(row.peak_memory_bytes, 2**30, "GiB")]),
    _Column("training", lambda row: [ABSENT if row.train_seconds is None else _hours(row.train_seconds / 3600)]),
]


def _spread(spread: Spread | None) -> str:
    if spread is None:
        return ABSENT
    return percent(spread.mean) + ("" if spread.std is None else f" ± {percent(spread.std)}")


def quantity(value: float | None, unit: float, name: str, digits: int = 2) -> str:
    """A value in a unit, or a dash where it is not known."""
    return ABSENT if value is None else f"{value / unit:.{digits}f} {name}"


def _section(comparison: Comparison) -> str:
    """Title, table, explanation and notes of a comparison."""
    columns = [
        _SEEDS, *_metric(comparison), *_verdict(comparison),
        *(_measure(measure.key, measure.heading) for measure in comparison.measures[1:]),
        *_certainty(comparison), *_COSTS,
    ]  # fmt: skip
    headings = ["setting", *(column.heading for column in columns)]
    lines = [headings, ["---", *["---:"] * len(columns)], *_markdown_rows(comparison, columns)]
    table = "\n".join("| " + " | ".join(map(_markdown_cell, line)) + " |" for line in lines)
    notes = "\n".join(f"* {note}" for note in comparison.notes)
    parts = (f"## {_title(comparison)}", table, explanation(comparison), notes)
    return "\n\n".join(part for part in parts if part)


def _title(comparison: Comparison) -> str:
    return f"{comparison.title}, against `{comparison.baseline}`" if comparison.comparisons else comparison.title


def _markdown_rows(comparison: Comparison, columns: Sequence[_Column]) -> Iterator[list[str]]:
    for row in comparison.rows:
        own = row.baseline is not None and row.baseline != comparison.baseline
        name = f"`{row.label}`" + (f" against `{row.baseline}`" if own else "")
        yield [name, *("\n".join(column.lines(row)) for column in columns)]


def _markdown_cell(text: str) -> str:
    return text.strip().replace("|", "/").replace("\n", " ")
