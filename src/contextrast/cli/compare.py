"""``contextrast-compare``: does a loss help on this data? Runs what is missing of a series, and says a verdict."""

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from contextrast.cli.app import reporting_errors
from contextrast.cli.described import add_version
from contextrast.cli.entry import function_at
from contextrast.cli.report import add_baseline_options
from contextrast.errors import SeriesStoppedError
from contextrast.signals import ending_at_once, exit_code

EXAMPLES = """\
examples:
  contextrast-compare data=camvid data.root=PATH experiment=camvid_short \\
      --losses ce contextrast "contextrast loss.negatives.error_map=others" --seeds 0 1 2
  contextrast-compare ... --dry-run        # what would run, and about how long it takes
  contextrast-compare ... --table-only     # the table of what is there
  contextrast-compare data=camvid experiment=camvid_short --take RUN RUN --results results/camvid_short

Each run trains, is evaluated at its last checkpoint (val, one scale), and leaves RESULTS/<loss>/<seed>.json, with the
confusion matrix of every image beside it. The same command again runs only what is missing; a run that was stopped
goes on from its last checkpoint. Started twice, two processes share the runs. OMP_NUM_THREADS=1 gives each of them one
thread; the number is recorded.
"""


def main(argv: Sequence[str] | None = None) -> None:
    """The console script."""
    arguments = _parse(argv)
    with reporting_errors("train"):
        try:
            with ending_at_once():
                failed = function_at("contextrast.tasks.compare:run")(arguments)
        except SeriesStoppedError as error:
            print(f"{error} The same command goes on.", file=sys.stderr)
            sys.exit(exit_code(signal.SIGTERM))
        except SystemExit:
            print("The same command goes on.", file=sys.stderr)
            raise
    if failed:
        print("\n".join(["Failed, and left out of the table:", *failed]), file=sys.stderr)
        sys.exit(1)


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="contextrast-compare", formatter_class=argparse.RawDescriptionHelpFormatter, epilog=EXAMPLES,
        description="Train losses on the same data and seeds, and say whether they help: mIoU, thin classes, B-mIoU\n"
        "and pixel accuracy against a baseline, with intervals, a verdict, and what more certainty would take.",
    )  # fmt: skip
    parser.add_argument(
        "overrides", nargs="*", metavar="KEY=VALUE", help="overrides of every run, as for contextrast-train"
    )
    parser.add_argument(
        "--losses", nargs="+", default=[], metavar="LOSS",
        help='files of conf/loss, each with overrides of its own in quotes: ce "contextrast loss.alpha=0.2". The first '
        "is the baseline unless --baseline names another",
    )  # fmt: skip
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="default: 0 1 2")
    parser.add_argument(
        "--results", type=Path, help="folder of the results (default: results/EXPERIMENT or results/DATA)"
    )
    parser.add_argument(
        "--runs", type=Path, default=Path("runs/compare"), help="folder of run folders (default: runs/compare)"
    )
    parser.add_argument("--keep-checkpoints", action="store_true", help="keep checkpoints of runs that are recorded")
    parser.add_argument(
        "--take", nargs="+", type=Path, default=[], metavar="RUN",
        help="evaluate and record finished runs of contextrast-train; the result of their last checkpoint is theirs",
    )  # fmt: skip
    parser.add_argument("--table-only", action="store_true", help="run nothing, print the table of what is there")
    parser.add_argument("--dry-run", action="store_true", help="run nothing, print what would run and about how long")
    add_baseline_options(parser)
    add_version(parser)
    arguments = _as_overrides(parser.parse_intermixed_args(argv), parser)
    wrong = [text for text in arguments.overrides if "=" not in text and not text.startswith("~")]
    if wrong:
        parser.error(f"{wrong[0]} is no KEY=VALUE. Losses come after --losses, those with overrides in quotes.")
    return arguments


def _as_overrides(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> argparse.Namespace:
    """``losses=[ce,contextrast] seeds=3`` for those who type all settings so; ``seeds=3`` are 0, 1 and 2."""
    given, others = {}, []
    for text in arguments.overrides:
        key, _, value = text.partition("=")
        if key in ("losses", "seeds"):
            given[key] = [part.strip() for part in value.strip("[]").split(",") if part.strip()]
        else:
            others.append(text)
    options = vars(arguments) | {"overrides": others}
    if "losses" in given:
        options["losses"] = given["losses"]
    if "seeds" in given:
        if not all(part.isdecimal() for part in given["seeds"]):
            parser.error(f"seeds={','.join(given['seeds'])}: a number of seeds, or a list of them, seeds=[0,1,2]")
        numbers = [int(part) for part in given["seeds"]]
        listed = "[" in next(text for text in arguments.overrides if text.startswith("seeds="))
        options["seeds"] = numbers if listed else list(range(numbers[0]))
    return argparse.Namespace(**options)


if __name__ == "__main__":
    main()
