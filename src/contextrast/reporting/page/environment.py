"""How runs were started and where they took place."""

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from contextrast.errors import ConfigError
from contextrast.reporting.rows import Row
from contextrast.runs.reading import load
from contextrast.runs.records import Run


@dataclass(frozen=True)
class Command:
    """How a run can be started again.

    Attributes:
        label: Setting and seed.
        text: The command of a run folder, from its ``overrides.yaml``; the overrides alone of a file of results.
    """

    label: str
    text: str


@dataclass(frozen=True)
class Surroundings:
    """A place in which runs took place.

    Attributes:
        content: Of ``environment.json``, without seed and command line.
        command_lines: What was typed, each once: one line starts all jobs of a sweep.
        labels: Setting and seed of its runs.
    """

    content: Mapping[str, Any]
    command_lines: Sequence[str]
    labels: Sequence[str]


def commands(rows: Sequence[Row], notes: list[str]) -> list[Command]:
    """The commands of some rows' runs; notes get what cannot be read."""
    return [
        Command(f"{row.label}, seed {run.seed}", text)
        for row in rows
        for run in row.runs
        if (text := _command(run, notes))
    ]


def surroundings(rows: Sequence[Row], notes: list[str]) -> list[Surroundings]:
    """Where some rows' runs took place, equal places together; notes get what cannot be read."""
    places: dict[str, Surroundings] = {}
    for row in rows:
        for run in row.runs:
            recorded = _environment(run, notes)
            if recorded is None:
                continue
            content = {key: value for key, value in recorded.items() if key not in {"seed", "command"}}
            key = json.dumps(content, sort_keys=True, default=str)
            place = places.setdefault(key, Surroundings(content, [], []))
            label, line = f"{row.label}, seed {run.seed}", recorded.get("command")
            lines = list(dict.fromkeys([*place.command_lines, *([str(line)] if line else [])]))
            places[key] = Surroundings(content, lines, [*place.labels, label])
    return list(places.values())


def _command(run: Run, notes: list[str]) -> str | None:
    if run.path.is_file():
        return shlex.join([*run.overrides.values(), f"seed={run.seed}"])
    overrides = _load(run, "overrides.yaml", list, notes)
    return None if overrides is None else shlex.join(["contextrast-train", *map(str, overrides)])


def _environment(run: Run, notes: list[str]) -> dict[str, Any] | None:
    if run.path.is_file():
        recorded = (load(run.path) or {}).get("environment")  # the run was read from it: it is a mapping
        return recorded if isinstance(recorded, dict) else None
    environment: dict[str, Any] | None = _load(run, "environment.json", dict, notes)
    return environment


def _load(run: Run, name: str, kind: type, notes: list[str]) -> Any:
    """Content of a file of a run folder; None without one, and with a note where it is not what it should be."""
    try:
        content = load(run.path / name)
    except ConfigError as error:
        notes.append(str(error))
        return None
    if content is not None and not isinstance(content, kind):
        notes.append(f"{run.path / name} is no {kind.__name__}: it is left out")
        return None
    return content
