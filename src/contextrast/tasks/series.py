"""A series of runs, one after the other: train, evaluate the last checkpoint, record; what is done already is kept."""

import shutil
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from contextrast.errors import ConfigError, ContextrastError, SeriesStoppedError
from contextrast.runs.lock import held, is_running
from contextrast.runs.quoting import quoted
from contextrast.runs.reading import load
from contextrast.runs.results import Record, Variant, find_records, without_places, write_record
from contextrast.runs.settings import by_key
from contextrast.signals import ASKING, exit_code
from contextrast.tasks.chosen import LAST
from contextrast.tasks.resume import checkpoint_of_job

_STOPPED: Final = {exit_code(number) for number in ASKING} | {-number for number in ASKING}
"""How a process ends that a signal stopped, by its own doing or the system's."""

_EVALUATED_WITH: Final = ("data.root", "data.num_workers", "data.eval_batch_size", "trainer.accelerator")
"""Overrides of training that evaluation takes, too; the checkpoint says the rest."""


class RunFailedError(ContextrastError):
    """A run of the series ended with an error, which stands in its own output."""


@dataclass(frozen=True)
class Job:
    """One run of the series.

    Attributes:
        variant: Loss and overrides.
        seed: Its seed.
        run_dir: Folder of its training.
        record: Its file of results.
        taken: Whether the folder was made by somebody else, who may need what is in it.
    """

    variant: Variant
    seed: int
    run_dir: Path
    record: Path
    taken: bool = False

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"{self.variant.text}, seed {self.seed}"


class Series:
    """Runs with the same overrides, whose results lie in one folder.

    Args:
        results: Folder of results; its name is that of the recipe.
        runs: Folder in which run folders are made.
        overrides: Of every run.
        keep_checkpoints: Whether run folders keep their checkpoints once the results are recorded.
    """

    def __init__(
        self, results: Path, runs: Path, overrides: Sequence[str] = (), keep_checkpoints: bool = False
    ) -> None:
        self.results = results
        self.runs = runs
        self.overrides = tuple(overrides)
        self.keep_checkpoints = keep_checkpoints
        self.telling = without_places(overrides, results.name)

    def jobs(self, variants: Sequence[Variant], seeds: Sequence[int]) -> list[Job]:
        """The runs that have no record yet, seed by seed, so that a stopped series has whole blocks.

        Raises:
            ConfigError: If results were made with other overrides, or two variants would share a folder.
        """
        records = find_records(self.results)
        folders = {variant.folder: variant for variant in variants}
        for variant in variants:
            if folders[variant.folder].key != variant.key:
                raise ConfigError(
                    f'"{variant.text}" and "{folders[variant.folder].text}" cannot be told apart by name.'
                )
        jobs = []
        for seed in seeds:
            for variant in variants:
                record = records.get((variant.key, seed))
                if record is None:
                    jobs.append(self.job(variant, seed))
                else:
                    self._refuse_other(record)
        return jobs

    def job(self, variant: Variant, seed: int, run_dir: Path | None = None) -> Job:
        """A run; its folder is made unless it has one."""
        place = run_dir or self.runs / self.results.name / variant.folder / str(seed)
        return Job(variant, seed, place, self.results / variant.folder / f"{seed}.json", run_dir is not None)

    def taken(self, run_dir: Path) -> Job:
        """The run in a folder that ``contextrast-train`` made.

        Raises:
            ConfigError: If it is not finished, or was made with other overrides.
        """
        config, typed = load(run_dir / "config.yaml"), load(run_dir / "overrides.yaml")
        if not isinstance(config, Mapping) or not isinstance(typed, list):
            raise ConfigError(f"--take {run_dir}: it has no config.yaml and overrides.yaml, so it is no run folder.")
        for needed in ("metrics.json", str(LAST)):
            if not (run_dir / needed).is_file():
                raise ConfigError(f"--take {run_dir}: it has no {needed}. Only finished runs can be taken.")
        asked = by_key(without_places(typed, self.results.name))
        if missing := [text for text in self.telling if text not in asked.values()]:
            raise ConfigError(f"--take {run_dir}: it was not run with {' '.join(missing)}. Results hold one recipe.")
        rest = {key: text for key, text in asked.items() if text not in self.telling}
        if whole := [text for key, text in rest.items() if key in ("data", "experiment", "model", "recipe")]:
            raise ConfigError(
                f"--take {run_dir}: it was run with {' '.join(whole)}, which results have in common. Give it as an "
                "override of this command."
            )
        loss = rest.pop("loss", None) or f"loss={_chosen_loss(run_dir)}"
        variant = Variant.parse(" ".join([loss.partition("=")[2], *rest.values()]))
        seed = config["seed"]
        if (variant.key, seed) in find_records(self.results):
            raise ConfigError(f"--take {run_dir}: {self.results} has a result of {variant.text}, seed {seed}, already.")
        return self.job(variant, seed, run_dir)

    def hours(self, job: Job) -> float | None:
        """How long a run's training may take, by records of its variant or else of all; None where there are none."""
        records = find_records(self.results).values()
        known = [record for record in records if record.train_seconds is not None]
        alike = [record for record in known if record.variant.key == job.variant.key] or known
        return statistics.median(record.train_seconds or 0.0 for record in alike) / 3600 if alike else None

    def run(self, job: Job) -> bool:
        """Do what is missing of a run.

        Returns:
            Whether it is done; False if another process is at it.

        Raises:
            RunFailedError: If its training or evaluation failed.
            SeriesStoppedError: If a signal stopped it.
            ConfigError: If its folder holds a run of other settings.
        """
        job.run_dir.parent.mkdir(parents=True, exist_ok=True)
        with held(job.run_dir.with_name(f".{job.run_dir.name}.lock")) as mine:
            if not mine or is_running(job.run_dir):  # a training outlives a series that was killed
                return False
            if job.record.is_file():
                return True  # another process was faster
            self._train(job)
            self.record(job)
        return True

    def record(self, job: Job) -> None:
        """Evaluate the last checkpoint of a finished run, and write its record."""
        evaluation = job.run_dir / "evaluation"
        if not (evaluation / "metrics.json").is_file():
            self._evaluate(job, evaluation)
        write_record(job.record, job.variant, job.seed, self.telling, job.run_dir, evaluation)
        if not job.taken and not self.keep_checkpoints:
            shutil.rmtree(job.run_dir / "checkpoints", ignore_errors=True)

    def command(self, job: Job) -> list[str]:
        """Overrides of the run's training."""
        logger = [] if "logger" in by_key(self.overrides) else ["logger=csv"]
        asked = [*self.overrides, *logger, f"loss={job.variant.loss}", *job.variant.overrides, f"seed={job.seed}"]
        return [*asked, f"hydra.run.dir={quoted(job.run_dir)}"]

    def _train(self, job: Job) -> None:
        if (job.run_dir / "metrics.json").is_file():
            asked = {f"loss={job.variant.loss}", *job.variant.overrides, *self.telling}
            found = set(without_places(load(job.run_dir / "overrides.yaml") or [], self.results.name))
            if found != asked:
                raise ConfigError(
                    f"{job.run_dir} holds a finished run of other overrides ({' '.join(sorted(found ^ asked))}). "
                    "Remove it, or name another folder with --runs."
                )
            return
        resume = []
        if checkpoint_of_job(None, job.run_dir) is not None:
            resume = [f"resume={quoted(job.run_dir)}"]
        elif job.run_dir.exists():
            shutil.rmtree(job.run_dir)  # it was stopped before its first checkpoint; its curves would be continued
        _call("contextrast.cli.train", [*self.command(job), *resume], job)

    def _evaluate(self, job: Job, folder: Path) -> None:
        checkpoint = job.run_dir / LAST
        settings = [text for key, text in by_key(self.overrides).items() if key in _EVALUATED_WITH]
        if "trainer=cpu" in self.overrides:
            settings.append("trainer.accelerator=cpu")
        shutil.rmtree(folder, ignore_errors=True)
        asked = [f"checkpoint={quoted(checkpoint)}", "split=val", "protocols.multi_scale=null", *settings]
        _call("contextrast.cli.evaluate", [*asked, f"hydra.run.dir={quoted(folder)}"], job)

    def _refuse_other(self, record: Record) -> None:
        if set(without_places(record.overrides, self.results.name)) != set(self.telling):
            there, here = (" ".join(texts) or "none" for texts in (record.overrides, self.telling))
            raise ConfigError(
                f"{record.path} is a result of other overrides ({there}) than those asked for ({here}). Name another "
                "folder with --results."
            )


def _chosen_loss(run_dir: Path) -> str:
    """The loss of a run that did not name it."""
    hydra: Any = load(run_dir / ".hydra" / "hydra.yaml") or {}
    return str(hydra.get("hydra", {}).get("runtime", {}).get("choices", {}).get("loss", "contextrast"))


def _call(module: str, arguments: Sequence[str], job: Job) -> None:
    """A command in a process of its own, which is stopped with this one.

    Raises:
        RunFailedError: If it fails.
        SeriesStoppedError: If a signal stopped it.
    """
    command = [sys.executable, "-m", module, *arguments]
    process = subprocess.Popen(command)  # noqa: S603  (this package's own commands)
    try:
        code = process.wait()
    except BaseException:
        process.terminate()  # a run saves its state before it ends
        process.wait()
        raise
    if code in _STOPPED:
        raise SeriesStoppedError(f"{job.name}: stopped by a signal.")
    if code != 0:
        raise RunFailedError(f"{job.name}: {module.rpartition('.')[2]} failed with exit code {code}; see above.")
