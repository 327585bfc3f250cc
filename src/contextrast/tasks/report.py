"""Runs as a table of means, spreads and paired differences, and as a page."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from contextrast.reporting.baselines import Baselines
from contextrast.reporting.comparison import Comparison, compare
from contextrast.reporting.comparison_csv import comma_separated
from contextrast.reporting.comparison_tables import explanation, markdown, terminal_tables
from contextrast.reporting.page.document import html_page
from contextrast.runs.records import read_runs
from contextrast.terminal import console, say, show


def report(arguments: argparse.Namespace) -> None:
    """Print the comparisons of the runs in some folders, and write the files that were asked for.

    Raises:
        ContextrastError: If a folder holds no runs, or there is no such metric or baseline.
    """
    records = read_runs(arguments.folders)
    comparisons = compare(records.runs, arguments.metric, chosen_baselines(arguments), arguments.thin)
    show_comparisons(comparisons)
    for path, reason in records.left_out.items():
        say(f"left out: {path}: {reason}", "yellow")
    if arguments.markdown is not None:
        _write(arguments.markdown, markdown(comparisons))
    if arguments.csv is not None:
        _write(arguments.csv, comma_separated(comparisons))
    if arguments.html is not None:
        _write(arguments.html, html_page(comparisons, records.left_out))


def show_comparisons(comparisons: Sequence[Comparison]) -> None:
    """Print comparisons: their tables, what the numbers are, and notes."""
    for comparison in comparisons:
        show(*terminal_tables(comparison, console()))
        show(explanation(comparison), style="dim")
        for note in comparison.notes:
            say(note, "yellow")


def chosen_baselines(arguments: argparse.Namespace) -> Baselines:
    """What the command line names as baselines."""
    return Baselines(arguments.baseline, [(row, base) for row, base in arguments.against], arguments.own_base)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    say(f"Written: {path}")
