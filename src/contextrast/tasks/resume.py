"""Going on with a run that stopped: its checkpoint, its folder, its settings."""

import logging
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from lightning.pytorch.utilities import rank_zero_only

from contextrast.checkpoints.files import previous_checkpoints
from contextrast.errors import CheckpointError, ConfigError
from contextrast.folders import config_directory
from contextrast.runs.quoting import quoted, unquoted
from contextrast.runs.reading import load
from contextrast.runs.recorded_overrides import recorded_overrides
from contextrast.runs.settings import by_key, differences, differing_keys, executions, results
from contextrast.tasks.chosen import LAST, find_checkpoint
from contextrast.tasks.old_records import recorded_settings

log = logging.getLogger(__name__)

_LONGER: Final = ("trainer.max_steps", "recipe.steps")
"""Settings of a run's length: a longer run begins as a shorter one does, where the schedule is the same."""

_BATCH: Final = ("data.batch_size", "trainer.devices", "trainer.num_nodes")
"""Settings whose product is the number of images per step (per batch, where gradients are accumulated)."""

_ONE_DEVICE: Final = {"trainer.num_nodes": 1, "trainer.sync_batchnorm": False}
"""What the trainer does where its settings do not say, as those for one device."""


def resumed_arguments(arguments: Sequence[str]) -> list[str]:
    """A command line with the settings of the run that it resumes, so that they need not be typed again.

    What is typed wins over what was typed then. Sweeps are left as they are: their jobs know their own folders.

    Args:
        arguments: Of ``contextrast-train``, without its name.

    Raises:
        CheckpointError: If there is nothing to resume.
        ConfigError: If the run folder asks for more than a run folder may.
    """
    asked = by_key(arguments)
    value = unquoted(asked.get("resume", ""))
    if value in ("", "null") or {"-m", "--multirun", "ablation", "search"} & set(asked):
        return list(arguments)
    checkpoint = find_checkpoint(value, _runs(asked), "resume")
    run_dir = checkpoint.parents[1]
    recorded = load(run_dir / "overrides.yaml")
    if recorded is None:
        raise CheckpointError(
            f"resume={value}: {run_dir} has no overrides.yaml, so it is no run folder. Resuming needs the folder that "
            "contextrast-train made; a copied checkpoint can be fine-tuned with model.weights=PATH."
        )
    found = recorded_overrides(recorded, run_dir / "overrides.yaml", arguments)
    if found.left:
        _say(f"Not taken over from {run_dir}: {', '.join(found.left)}. Where to write has to be typed.")
    again = list(found.taken)
    again.append(f"resume={quoted(checkpoint)}")
    if "hydra.run.dir" not in asked:
        again.append(f"hydra.run.dir={quoted(run_dir)}")
    if {"ablation", "search"} & set(by_key(found.taken)):
        again.append("hydra.mode=RUN")  # a job of a sweep is resumed by itself
    place = next(place for place, text in enumerate(arguments) if by_key([text]).keys() == {"resume"})
    return [*arguments[:place], *again, *arguments[place + 1 :]]


def checkpoint_of_job(asked: str | None, run_dir: Path) -> Path | None:
    """What a job of a sweep goes on from: the state in which its own folder was left, or None to start.

    Args:
        asked: ``resume=`` of the sweep; a job goes on whether that is asked for or not.
        run_dir: The job's folder.

    Raises:
        ConfigError: If the sweep asks for one checkpoint for all of its jobs.
    """
    if asked not in (None, "latest"):
        raise ConfigError(
            f"resume={asked} names one run, and this is a sweep of several. Each of its jobs goes on from its own "
            "folder by itself, where there is something to go on from: leave resume out."
        )
    last = run_dir / LAST
    return last if last.is_file() or previous_checkpoints(last) else None


def refuse_other_run(path: Path, settings: Mapping[str, Any], step: int) -> None:
    """Make sure that a checkpoint is one of a run with these settings which has steps left to take.

    Args:
        path: The checkpoint, in its run folder.
        settings: What the run is asked to be, as plain containers.
        step: The steps that it has taken.

    Raises:
        ConfigError: If the settings are others, or the run is finished.
    """
    config = recorded_settings(path.parents[1], settings)
    recorded, asked = _ONE_DEVICE | results(config), _ONE_DEVICE | results(settings)
    wrong = [key for key in differing_keys([recorded, asked]) if key not in _LONGER]
    if set(wrong) & set(_BATCH) and _product(recorded, _BATCH) == _product(asked, _BATCH) is not None:
        shared = (*_BATCH, "trainer.sync_batchnorm")  # the same images in each step, on another number of devices
        wrong = [key for key in wrong if key not in shared]
    if wrong and set(wrong) <= set(_BATCH):
        raise ConfigError(
            f"resume={path}: that run's steps are of other images ({differences(recorded, asked, wrong)}). On another "
            "number of devices it goes on with data.batch_size=N that keeps their number per step; to start another "
            "run from its weights use model.weights=PATH."
        )
    if wrong:
        raise ConfigError(
            f"resume={path}: that run has other settings ({differences(recorded, asked, wrong)}). A run goes on as "
            "what it was, its schedule included; to start another one from its weights use model.weights=PATH."
        )
    if (path.parents[1] / "metrics.json").is_file() and step >= settings["trainer"]["max_steps"]:  # -1: epochs decide
        raise ConfigError(
            f"resume={path}: that run is finished, after {step} steps. Nothing was changed. For more steps start "
            f"another one from its state, start_from={quoted(path.parents[1])}, or its weights, model.weights=PATH."
        )
    recorded, asked = recorded | executions(config), asked | executions(settings)
    for key in differing_keys([recorded, asked]):
        log.info("Goes on with %s=%s, before %s", key, asked.get(key, "-"), recorded.get(key, "-"))


def _product(settings: Mapping[str, Any], keys: Sequence[str]) -> int | None:
    """The product of some settings; None where one is not known, as the number of a machine's devices."""
    counts = [count for key in keys if isinstance(count := settings.get(key), int)]
    return math.prod(counts) if len(counts) == len(keys) else None


@rank_zero_only
def _say(text: str) -> None:
    """Print a line before Hydra has set the log up."""
    print(text, file=sys.stderr)


def _runs(asked: Mapping[str, str]) -> Path:
    """Where runs lie, by the command line or by the configuration."""
    if "paths.runs" in asked:
        return Path(unquoted(asked["paths.runs"]))
    return Path(load(config_directory() / "paths" / "default.yaml")["runs"])
