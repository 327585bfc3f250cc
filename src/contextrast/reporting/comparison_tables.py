"""Comparisons as people and programs read them: a table on the terminal, Markdown, CSV."""

import csv
import io
from collections.abc import Sequence
from typing import Any, Final

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from contextrast.reporting.comparison import Comparison, Row
from contextrast.reporting.estimates import Difference, Spread
from contextrast.reporting.tables import ABSENT, percent

_SCORES: Final = 5  # columns up to the interval; those that follow are costs


def terminal_tables(comparison: Comparison, console: Console) -> list[Table]:
    """A comparison for the terminal: one row a setting, in two tables where one would not fit into its width."""
    lines = [[*_headings(comparison)], *(_cells(row, comparison.baseline) for row in comparison.rows)]
    lines[0][3] = "difference"  # which row is the baseline stands in the column itself
    whole = _table(comparison.title, lines)
    if Measurement.get(console, console.options.update(width=1000), whole).maximum <= console.width:
        return [whole]
    scores, costs = [line[:_SCORES] for line in lines], [[line[0], *line[_SCORES:]] for line in lines]
    return [_table(comparison.title, scores), _table(f"{comparison.title}: costs", costs)]


def markdown(comparisons: Sequence[Comparison]) -> str:
    """Comparisons as Markdown: a heading, a table and its notes for each."""
    return "\n\n".join(_section(comparison) for comparison in comparisons) + "\n"


def comma_separated(comparisons: Sequence[Comparison]) -> str:
    """Comparisons as CSV with all digits: scores and differences are fractions; what is not known is empty."""
    records = [_record(comparison, row) for comparison in comparisons for row in comparison.rows]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(records[0]) if records else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return text.getvalue()


def signed_percent(value: float) -> str:
    """A difference of fractions in percentage points: ``"+0.43"``."""
    return f"{100 * value:+.2f}"


def _table(title: str, lines: Sequence[Sequence[str]]) -> Table:
    """A table of lines, headings first; settings have one override a line."""
    table = Table(title=Text(title), title_justify="left")
    for number, heading in enumerate(lines[0]):
        table.add_column(heading, justify="right" if number else "left", overflow="fold", no_wrap=number > 0)
    for setting, *numbers in lines[1:]:
        table.add_row(Text(setting.replace(" ", "\n")), *numbers)
    return table


def _headings(comparison: Comparison) -> list[str]:
    difference = f"difference to {comparison.baseline}" if comparison.baseline else "difference"
    scores = ["setting", "seeds", f"{comparison.metric} %", difference, "95 % interval"]
    return [*scores, "parameters", "training only", "step", "memory"]


def _cells(row: Row, baseline: str | None) -> list[str]:
    return [
        row.label,
        str(row.seeds) if len(row.runs) == row.seeds else f"{len(row.runs)} of {row.seeds}",
        _spread(row.spread),
        *(("baseline", "") if row.label == baseline else _difference(row.difference)),
        _in(row.deployed_parameters, 1e6, "M"),
        _in(row.training_only_parameters, 1e6, "M"),
        _in(row.step_seconds, 1e-3, "ms", digits=0),
        _in(row.peak_memory_bytes, 2**30, "GiB"),
    ]


def _spread(spread: Spread | None) -> str:
    if spread is None:
        return ABSENT
    return percent(spread.mean) + ("" if spread.std is None else f" ± {percent(spread.std)}")


def _difference(difference: Difference | None) -> tuple[str, str]:
    if difference is None:
        return ABSENT, ABSENT
    if difference.low is None or difference.high is None:
        return signed_percent(difference.mean), ABSENT
    interval = f"[{signed_percent(difference.low)}, {signed_percent(difference.high)}]"
    return signed_percent(difference.mean), interval


def _in(value: float | None, unit: float, name: str, digits: int = 2) -> str:
    """A value in a unit, or a dash where it is not known."""
    return ABSENT if value is None else f"{value / unit:.{digits}f} {name}"


def _section(comparison: Comparison) -> str:
    """Title, table and notes of a comparison."""
    headings = _headings(comparison)
    rows = [_cells(row, comparison.baseline) for row in comparison.rows]
    lines = [headings, ["---", *["---:"] * (len(headings) - 1)], *([f"`{first}`", *rest] for first, *rest in rows)]
    table = "\n".join("| " + " | ".join(cell.replace("|", "/") for cell in line) + " |" for line in lines)
    notes = "\n".join(f"* {note}" for note in comparison.notes)
    return "\n\n".join(part for part in (f"## {comparison.title}", table, notes) if part)


def _record(comparison: Comparison, row: Row) -> dict[str, Any]:
    spread, difference = row.spread, row.difference
    return {
        "table": comparison.title,
        "setting": row.label,
        "metric": comparison.metric,
        "seeds": row.seeds,
        "finished": len(row.runs),
        "mean": spread and spread.mean,
        "std": spread and spread.std,
        "baseline": comparison.baseline,
        "difference": difference and difference.mean,
        "low": difference and difference.low,
        "high": difference and difference.high,
        "pairs": difference and difference.count,
        "deployed_parameters": row.deployed_parameters,
        "training_only_parameters": row.training_only_parameters,
        "step_seconds": row.step_seconds,
        "peak_memory_bytes": row.peak_memory_bytes,
    }
