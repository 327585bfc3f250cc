"""``contextrast-report``: runs as a table of means, spreads and paired differences, and as a page."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich import get_console
from rich.console import Console

from contextrast.errors import ContextrastError
from contextrast.reporting.comparison import compare
from contextrast.reporting.comparison_tables import comma_separated, markdown, terminal_tables
from contextrast.reporting.page import html_page
from contextrast.reporting.runs import read_runs


def report(arguments: argparse.Namespace) -> None:
    """Print the comparisons of the runs in some folders, and write the files that were asked for.

    Raises:
        ContextrastError: If a folder holds no runs, or there is no such metric or baseline.
    """
    records = read_runs(arguments.folders)
    comparisons = compare(records.runs, arguments.metric, arguments.baseline)
    console = get_console()
    for comparison in comparisons:
        console.print(*terminal_tables(comparison, console), sep="\n")
        for note in comparison.notes:
            console.print(note, style="yellow", markup=False, highlight=False, soft_wrap=True)
    for path, reason in records.left_out.items():
        console.print(f"left out: {path}: {reason}", style="yellow", markup=False, highlight=False, soft_wrap=True)
    if arguments.markdown is not None:
        _write(arguments.markdown, markdown(comparisons), console)
    if arguments.csv is not None:
        _write(arguments.csv, comma_separated(comparisons), console)
    if arguments.html is not None:
        _write(arguments.html, html_page(comparisons, records.left_out), console)


def _write(path: Path, text: str, console: Console) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    console.print(f"Written: {path}", soft_wrap=True)


def main(argv: Sequence[str] | None = None) -> None:
    """The console script."""
    arguments = _parse(argv)
    try:
        report(arguments)
    except (ContextrastError, OSError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(1)


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="contextrast-report",
        description="Compare training runs: one row a setting, mean ± standard deviation over its seeds, and the "
        "paired difference to a baseline on the seeds both have, with its 95 %% interval by Student's t.",
    )
    parser.add_argument(
        "folders", nargs="+", type=Path, metavar="FOLDER",
        help="a sweep's folder, run folders, or a folder of results <recipe>/<variant>/<seed>.json, at any depth",
    )  # fmt: skip
    parser.add_argument("--baseline", metavar="TEXT", help="row to compare with, or a part of its name; default: first")
    parser.add_argument("--metric", default="miou", help="score of metrics.json, such as miou, best.miou or iou.Pole")
    parser.add_argument("--markdown", type=Path, metavar="PATH", help="also write the tables as Markdown")
    parser.add_argument("--csv", type=Path, metavar="PATH", help="also write the rows as CSV, with all digits")
    parser.add_argument(
        "--html", type=Path, metavar="PATH",
        help="also write one page with tables, curves, classes, pictures, costs and commands, for any browser",
    )  # fmt: skip
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
