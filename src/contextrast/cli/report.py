"""``contextrast-report``: runs as a table of means, spreads and paired differences, and as a page."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from contextrast.errors import ContextrastError
from contextrast.reporting.baselines import Baselines
from contextrast.reporting.comparison import Comparison, compare
from contextrast.reporting.comparison_csv import comma_separated
from contextrast.reporting.comparison_tables import explanation, markdown, terminal_tables
from contextrast.reporting.page.document import html_page
from contextrast.runs.records import read_runs
from contextrast.terminal import console, say


def report(arguments: argparse.Namespace) -> None:
    """Print the comparisons of the runs in some folders, and write the files that were asked for.

    Raises:
        ContextrastError: If a folder holds no runs, or there is no such metric or baseline.
    """
    records = read_runs(arguments.folders)
    comparisons = compare(records.runs, arguments.metric, chosen_baselines(arguments), arguments.thin)
    show(comparisons)
    for path, reason in records.left_out.items():
        say(f"left out: {path}: {reason}", "yellow")
    if arguments.markdown is not None:
        _write(arguments.markdown, markdown(comparisons))
    if arguments.csv is not None:
        _write(arguments.csv, comma_separated(comparisons))
    if arguments.html is not None:
        _write(arguments.html, html_page(comparisons, records.left_out))


def show(comparisons: Sequence[Comparison]) -> None:
    """Print comparisons: their tables, what the numbers are, and notes."""
    for comparison in comparisons:
        console().print(*terminal_tables(comparison, console()), sep="\n")
        console().print(explanation(comparison), style="dim")
        for note in comparison.notes:
            say(note, "yellow")


def add_baseline_options(parser: argparse.ArgumentParser) -> None:
    """The options that say what is compared with what, and by which measure."""
    parser.add_argument("--baseline", metavar="ROW", help="row to compare with, or a part of its name; default: first")
    parser.add_argument(
        "--against", nargs=2, action="append", default=[], metavar=("ROW", "BASELINE"),
        help="compare this row with a baseline of its own; may be given several times",
    )  # fmt: skip
    parser.add_argument(
        "--own-base", action="store_true",
        help="compare a contrast with the row of loss=ce whose other settings are the same, where there is one: "
        "Contextrast on Lovász with Lovász",
    )  # fmt: skip
    parser.add_argument(
        "--metric", default="miou",
        help="what the verdict is about: miou, thin, b_miou, pixel_accuracy, or a score of metrics.json such as "
        "best.miou or iou.Pole (default: miou)",
    )  # fmt: skip
    parser.add_argument(
        "--thin", nargs="+", metavar="CLASS",
        help="names of the thin classes; default: those in the dataset's facts, if it has any",
    )  # fmt: skip


def chosen_baselines(arguments: argparse.Namespace) -> Baselines:
    """What `add_baseline_options` read."""
    return Baselines(arguments.baseline, [(row, base) for row, base in arguments.against], arguments.own_base)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    say(f"Written: {path}")


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
        description="Compare training runs: one row per setting, mean ± standard deviation over its seeds, and its "
        "difference to a baseline with seeds as blocks and a 95 %% interval that is adjusted for the number of rows "
        "(Dunnett); a verdict, and the further seeds that would tell half a point and one.",
    )
    parser.add_argument(
        "folders", nargs="+", type=Path, metavar="FOLDER",
        help="a sweep's folder, run folders, or a folder of results <recipe>/<variant>/<seed>.json, at any depth",
    )  # fmt: skip
    add_baseline_options(parser)
    parser.add_argument("--markdown", type=Path, metavar="PATH", help="also write the tables as Markdown")
    parser.add_argument("--csv", type=Path, metavar="PATH", help="also write the rows as CSV, with all digits")
    parser.add_argument(
        "--html", type=Path, metavar="PATH",
        help="also write one page with tables, curves, classes, pictures, costs and commands, for any browser",
    )  # fmt: skip
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
