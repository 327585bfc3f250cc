"""Train losses under one recipe on the same seeds, and print means, spreads and paired differences.

    python scripts/compare_losses.py --recipe camvid_short --seeds 0 1 2 \
        --variants "ce" "contextrast" "contextrast loss.negatives.error_map=others" -- data.root=PATH

A variant is a loss and overrides. Every finished run leaves ``results/<recipe>/<variant>/<seed>.json``; runs that have
one are not repeated, so a stopped series continues where it was. The last checkpoint is measured, not the best one.
"""

import argparse
import json
import math
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy import stats

from contextrast.reporting.run_files import write_json


def main() -> None:
    """Run what is missing, then print the table of everything asked for."""
    arguments = _parse()
    folder = Path(arguments.results) / arguments.recipe
    failed = []
    for seed in arguments.seeds:
        for variant in arguments.variants:
            path = folder / folder_name(variant) / f"{seed}.json"
            if not path.exists() and not arguments.table_only and not _run(arguments, variant, seed, path):
                failed.append(f"{variant}, seed {seed}")
    Console().print(table(folder, arguments.variants, arguments.seeds))
    if failed:
        sys.exit("failed: " + "; ".join(failed))


def folder_name(variant: str) -> str:
    """``contextrast loss.alpha=0.2`` becomes ``contextrast,alpha=0.2``: the loss, then what differs."""
    loss, *overrides = variant.split()
    return ",".join([loss, *(re.sub(r"^loss[./]", "", override) for override in overrides)])


def _run(arguments: argparse.Namespace, variant: str, seed: int, path: Path) -> bool:
    loss, *overrides = variant.split()
    with tempfile.TemporaryDirectory() as scratch:
        run_dir = Path(scratch) / "run"
        command = [sys.executable, "-m", "contextrast.cli.train", f"experiment={arguments.recipe}", f"loss={loss}"]
        command += [f"seed={seed}", "logger=csv", f"hydra.run.dir={run_dir}", *overrides, *arguments.overrides]
        if subprocess.run(command, check=False).returncode != 0:
            return False
        metrics = json.loads((run_dir / "metrics.json").read_text())
        environment = json.loads((run_dir / "environment.json").read_text())
    record = {"recipe": arguments.recipe, "variant": variant, "seed": seed, "metrics": metrics}
    del environment["command"]  # names a scratch folder and the data's place; recipe, variant and seed say it all
    record["environment"] = environment
    write_json(path, record)  # whole or not at all: a killed series leaves no half-written result
    return True


def table(folder: Path, variants: Sequence[str], seeds: Sequence[int]) -> Table:
    """One row a variant: mIoU in percent with its spread, and the paired difference to the first variant."""
    scores = {variant: _scores(folder, variant, seeds) for variant in variants}
    baseline = scores[variants[0]]
    shown = Table(title=f"{folder.name}: mIoU on val, last checkpoint, %")
    for heading in ("loss", "seeds", "mean ± std", f"difference to {variants[0]}", "95 % interval"):
        shown.add_column(heading, justify="left" if heading == "loss" else "right", overflow="fold")
    for variant, values in scores.items():
        shared = sorted(set(values) & set(baseline))
        differences = [values[seed] - baseline[seed] for seed in shared] if variant != variants[0] else []
        shown.add_row(variant, str(len(values)), spread(list(values.values())), *paired(differences))
    return shown


def _scores(folder: Path, variant: str, seeds: Sequence[int]) -> dict[int, float]:
    paths = {seed: folder / folder_name(variant) / f"{seed}.json" for seed in seeds}
    records: dict[int, dict[str, Any]] = {s: json.loads(p.read_text()) for s, p in paths.items() if p.exists()}
    return {seed: 100 * float(record["metrics"]["miou"]) for seed, record in records.items()}


def spread(values: Sequence[float]) -> str:
    """Mean and sample standard deviation."""
    if not values:
        return "not run"
    return f"{np.mean(values):.2f} ± {np.std(values, ddof=1):.2f}" if len(values) > 1 else f"{values[0]:.2f}"


def paired(differences: Sequence[float]) -> tuple[str, str]:
    """Mean of paired differences, and its 95 % interval by Student's t."""
    if len(differences) < 2:
        return (f"{differences[0]:+.2f}" if differences else "–"), "–"
    mean, error = float(np.mean(differences)), float(np.std(differences, ddof=1)) / math.sqrt(len(differences))
    half = float(stats.t.ppf(0.975, len(differences) - 1)) * error
    return f"{mean:+.2f}", f"[{mean - half:+.2f}, {mean + half:+.2f}]"


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
