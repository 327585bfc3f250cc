"""Train losses under one recipe on the same seeds, and print means, spreads and paired differences.

    python scripts/compare_losses.py --recipe camvid_short --seeds 0 1 2 \
        --variants "ce" "contextrast" "contextrast loss.negatives.error_map=others" -- data.root=PATH

A variant is a loss and overrides. Every finished run leaves ``results/<recipe>/<variant>/<seed>.json``; runs that have
one are not repeated, so a stopped series continues where it was. The last checkpoint is measured, not the best one.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from contextrast.reporting.comparison import Comparison, compare
from contextrast.reporting.comparison_tables import terminal_tables
from contextrast.reporting.run_files import write_json
from contextrast.reporting.runs import read_result, variant_run
from contextrast.runs.names import result_file, variant_overrides
from contextrast.runs.settings import changes_result


def main() -> None:
    """Run what is missing, then print the table of everything asked for."""
    arguments = _parse()
    folder = Path(arguments.results) / arguments.recipe
    failed = []
    for seed in arguments.seeds:
        for variant in arguments.variants:
            path = result_file(folder, variant, seed)
            if not path.exists() and not arguments.table_only and not _run(arguments, variant, seed, path):
                failed.append(f"{variant}, seed {seed}")
    compared = comparison(folder, arguments.variants, arguments.seeds)
    console = Console()
    console.print(*terminal_tables(compared, console), *compared.notes, sep="\n")
    if failed:
        sys.exit("failed: " + "; ".join(failed))


def _run(arguments: argparse.Namespace, variant: str, seed: int, path: Path) -> bool:
    with tempfile.TemporaryDirectory() as scratch:
        run_dir = Path(scratch) / "run"
        command = [sys.executable, "-m", "contextrast.cli.train", f"experiment={arguments.recipe}", f"seed={seed}"]
        command += ["logger=csv", f"hydra.run.dir={run_dir}", *variant_overrides(variant), *arguments.overrides]
        if subprocess.run(command, check=False).returncode != 0:
            return False
        metrics = json.loads((run_dir / "metrics.json").read_text())
        environment = json.loads((run_dir / "environment.json").read_text())
    record = {"recipe": arguments.recipe, "variant": variant, "seed": seed, "metrics": metrics}
    record["overrides"] = [text for text in arguments.overrides if changes_result(text)]
    del environment["command"]  # names a scratch folder and the data's place; recipe, variant and seed say it all
    record["environment"] = environment
    write_json(path, record)  # whole or not at all: a killed series leaves no half-written result
    return True


def comparison(folder: Path, variants: Sequence[str], seeds: Sequence[int]) -> Comparison:
    """One row a variant, compared with the first; what was not run is noted."""
    runs = []
    for variant in variants:
        for seed in seeds:
            path = result_file(folder, variant, seed)
            missing = variant_run(path, folder.name, variant, seed, None, "not run")
            runs.append(read_result(path) if path.exists() else missing)
    return compare(runs)[0]


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="camvid_short", help="an experiment of conf/experiment")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--variants", nargs="+", default=["ce", "contextrast"], help="the first is the baseline")
    parser.add_argument("--results", default="results")
    parser.add_argument("--table-only", action="store_true", help="print what is there and run nothing")
    parser.add_argument("overrides", nargs="*", help="overrides of every run, after --")
    return parser.parse_args()


if __name__ == "__main__":
    main()
