"""Does a loss help on this data? Runs what is missing of a series, and says a verdict."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from contextrast.errors import ConfigError
from contextrast.reporting.comparison import compare
from contextrast.runs.composition import compose
from contextrast.runs.records import Run, read_result, variant_run
from contextrast.runs.results import Variant, find_records
from contextrast.runs.settings import by_key
from contextrast.tasks.report import chosen_baselines, show_comparisons
from contextrast.tasks.series import Job, RunFailedError, Series
from contextrast.terminal import console, say


def run(arguments: argparse.Namespace) -> list[str]:
    """Run what is missing, then print the table of everything asked for.

    Returns:
        What failed.

    Raises:
        ContextrastError: If something cannot work; before the first run wherever possible.
    """
    overrides, results = arguments.overrides, arguments.results or Path("results") / recipe(arguments.overrides)
    variants = [Variant.parse(text) for text in arguments.losses]
    series = Series(results, arguments.runs, overrides, arguments.keep_checkpoints)
    failed: list[str] = []
    if not arguments.table_only:
        taken = [series.taken(folder) for folder in arguments.take]
        jobs = series.jobs(variants, arguments.seeds) if variants else []
        check([series.command(job) for job in jobs])
        if arguments.dry_run:
            plan(series, jobs, taken)
            return []
        failed = carry_out(series, jobs, taken)
    runs = asked_runs(results, variants, arguments.seeds)
    if not runs:
        raise ConfigError(f"{results} holds no results, and none were asked for. Name losses: --losses ce contextrast.")
    show_comparisons(compare(runs, arguments.metric, chosen_baselines(arguments), arguments.thin))
    return failed


def recipe(overrides: Sequence[str]) -> str:
    """What results are called: the experiment, or else the data."""
    asked = by_key(overrides)
    named = asked.get("experiment") or asked.get("data") or "data=streets"
    return named.partition("=")[2]


def check(commands: Sequence[Sequence[str]]) -> None:
    """Compose the settings of runs, so that a mistake shows before the first one.

    Raises:
        HydraException: If settings cannot be composed.
    """
    alike = ("seed=", "hydra.")
    for command in {tuple(text for text in command if not text.startswith(alike)) for command in commands}:
        compose("train", command)


def plan(series: Series, jobs: Sequence[Job], taken: Sequence[Job]) -> None:
    """Print what would run, and about how long it takes."""
    for job in taken:
        say(f"{job.name}: would be evaluated, from {job.run_dir}")
    times = [series.hours(job) for job in jobs]
    for job, hours in zip(jobs, times, strict=True):
        state = "would go on" if job.run_dir.exists() else "would run"
        about = "" if hours is None else f", about {hours:.1f} h"
        say(f"{job.name}: {state}{about}")
    if not jobs and not taken:
        say("Nothing is missing.")
    elif jobs and all(hours is not None for hours in times):
        total = sum(hours for hours in times if hours is not None)
        say(f"{len(jobs)} runs, about {total:.1f} h of training by the records in {series.results}.")
    elif jobs:
        say(f"{len(jobs)} runs; {series.results} has no record that tells how long they take.")


def carry_out(series: Series, jobs: Sequence[Job], taken: Sequence[Job]) -> list[str]:
    """Do what is missing; returns what failed.

    Raises:
        SeriesStoppedError: If a signal stopped it.
    """
    failed = []
    for number, job in enumerate([*taken, *jobs], start=1):
        console().rule(f"{number} of {len(taken) + len(jobs)}: {job.name}")
        try:
            if job in taken:
                series.record(job)
            elif not series.run(job):
                say("Another process is at it.", "yellow")
        except RunFailedError as error:
            failed.append(str(error))
    return failed


def asked_runs(results: Path, variants: Sequence[Variant], seeds: Sequence[int]) -> list[Run]:
    """The results of some variants and seeds, missing ones included; without variants all that there are."""
    records = find_records(results)
    if not variants:
        return [read_result(record.path) for record in records.values()]
    runs = []
    for variant in variants:
        for seed in seeds:
            record = records.get((variant.key, seed))
            missing = variant_run(results, results.name, variant.text, seed, None, "not run")
            runs.append(missing if record is None else read_result(record.path))
    return runs
