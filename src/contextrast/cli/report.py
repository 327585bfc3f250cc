"""``contextrast-report``: runs as a table of means, spreads and paired differences, and as a page."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from contextrast.cli.app import reporting_errors
from contextrast.cli.described import add_version
from contextrast.cli.entry import function_at


def main(argv: Sequence[str] | None = None) -> None:
    """The console script."""
    arguments = _parse(argv)
    with reporting_errors("train"):
        function_at("contextrast.tasks.report:report")(arguments)


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
    add_version(parser)
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
