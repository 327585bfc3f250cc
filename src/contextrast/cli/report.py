"""``contextrast-report``: runs as a table of means, spreads and paired differences."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich import get_console

from contextrast.errors import ContextrastError
from contextrast.reporting.comparison import compare
from contextrast.reporting.comparison_tables import comma_separated, markdown, terminal_tables
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
    for path, text in ((arguments.markdown, markdown), (arguments.csv, comma_separated)):
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text(comparisons), encoding="utf-8")
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
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
