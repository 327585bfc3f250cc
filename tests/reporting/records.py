"""Folders as training leaves them behind, written by hand."""

import json
from pathlib import Path

import yaml


def settings(run_dir="/somewhere/run", seed=0, alpha=0.1, target="contextrast.data.CamVid", root="/data", **loss):
    """A composed configuration, cut down."""
    return {
        "seed": seed,
        "data": {"dataset": {"_target_": target, "merge": "documented"}, "root": root, "seed": seed},
        "loss": {"alpha": alpha, "negatives": {"seed": seed}, **loss},
        "logger": {"csv": {"save_dir": run_dir}},
        "trainer": {"default_root_dir": run_dir, "max_steps": 10},
        "paths": {"run_dir": run_dir},
    }


def metrics(miou, **more):
    costs = {"parameters": {"deployed": 5_000_000, "training_only": 250_000}, "step_seconds": 0.125}
    return {"split": "val", "miou": miou, "iou": {"Pole": miou / 2}, "step": 10, **costs, **more}


def write_run(folder: Path, overrides, miou=None, number=0, error=None, resolved=True, **config):
    """A run folder; without ``miou`` one that did not finish, unless ``resolved`` one that failed early."""
    (folder / ".hydra").mkdir(parents=True)
    content = settings(run_dir=str(folder), **config)
    (folder / ".hydra" / "config.yaml").write_text(yaml.safe_dump(content))
    (folder / ".hydra" / "overrides.yaml").write_text(yaml.safe_dump(overrides))
    (folder / ".hydra" / "hydra.yaml").write_text(yaml.safe_dump({"hydra": {"job": {"num": number}}}))
    if resolved:
        (folder / "config.yaml").write_text(yaml.safe_dump(content))
    if miou is not None:
        (folder / "metrics.json").write_text(json.dumps(metrics(miou)))
    if error is not None:
        (folder / "error.txt").write_text(f"{error}\n\nTraceback ...")
    return folder


def write_sweep(folder: Path, scores, key="loss.alpha"):
    """A sweep over ``alpha`` and seeds: ``scores`` are by value and seed."""
    number = 0
    for value, by_seed in scores.items():
        for seed, miou in by_seed.items():
            overrides = [f"{key}={value}", "data=camvid", f"seed={seed}"]
            write_run(folder / f"{key}={value},seed={seed}", overrides, miou, number, seed=seed, alpha=value)
            number += 1
    return folder
