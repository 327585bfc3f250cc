"""Records of training runs, read back from the folders that hold them."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import yaml

from contextrast.errors import ConfigError, first_line
from contextrast.runs.names import variant_overrides
from contextrast.runs.settings import by_key, changes_result, results, told_by_value, without_seeds

ERROR_FILE: Final = "error.txt"
"""File of a run folder that says, in its first line, why a job of a sweep failed."""

_DATASET: Final = ("data.dataset.", "data.root")  # settings that say what a run was measured on
_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's is ten times as fast, where it is there


@dataclass(frozen=True)
class Run:
    """One training run: what was asked for, and what it reached.

    Attributes:
        path: Its folder, or its file of results.
        data: What it was measured on, by dotted key; runs that differ in it cannot be compared.
        overrides: What was asked for on the command line and changes the result, by key and as typed, without the seed.
        seed: Its seed.
        settings: All its settings that change the result, by dotted key and without seeds; None where it failed before
            they were known.
        metrics: Content of ``metrics.json``; None if it did not finish.
        state: ``finished``, or why it is not.
        order: Its place among the jobs of its sweep.
        images: File with its counts of images, see `contextrast.runs.image_counts`; None where it has none.
    """

    path: Path
    data: Mapping[str, Any]
    overrides: Mapping[str, str]
    seed: int
    settings: Mapping[str, Any] | None
    metrics: Mapping[str, Any] | None
    state: str = "finished"
    order: int = 0
    images: Path | None = None


@dataclass(frozen=True)
class Records:
    """What folders hold.

    Attributes:
        runs: Training runs, finished or not, each once.
        left_out: What looked like a run and is none, or cannot be read, and why.
    """

    runs: list[Run] = field(default_factory=list)
    left_out: dict[Path, str] = field(default_factory=dict)


def read_runs(folders: Sequence[str | Path]) -> Records:
    """All training runs in some folders, at any depth.

    Args:
        folders: Folders of sweeps, run folders, or folders with files ``<recipe>/<variant>/<seed>.json``.

    Raises:
        ConfigError: If a folder is none, or there is no run in it.
    """
    records = Records()
    seen: set[Path] = set()
    for folder in map(Path, folders):
        if not folder.is_dir():
            raise ConfigError(f"{folder} is no folder. Name folders of sweeps, of runs, or of results.")
        found = list(_find(folder))
        if not found:
            raise ConfigError(
                f"{folder} holds no runs: neither run folders, which have a config.yaml, nor results "
                "<recipe>/<variant>/<seed>.json."
            )
        runs: list[Run] = []
        for path in found:
            if path.resolve() in seen:
                continue
            seen.add(path.resolve())
            try:
                runs.append(_read_folder(path) if path.is_dir() else read_result(path))
            except ConfigError as error:
                records.left_out[path] = str(error)
        records.runs.extend(sorted(runs, key=lambda run: run.order))
    return records


def read_result(path: Path) -> Run:
    """The run behind a file ``<recipe>/<variant>/<seed>.json``, as ``contextrast-compare`` writes it.

    Raises:
        ConfigError: If it cannot be read or is no such file.
    """
    content = load(path)
    if not isinstance(content, dict) or not {"recipe", "variant", "seed"} <= set(content):
        raise ConfigError(f"{path} is no result of a run: recipe, variant or seed is missing")
    if not isinstance(content.get("metrics"), dict):
        raise ConfigError(f"{path} is no result of a run: it has no metrics")
    run = variant_run(path, content["recipe"], content["variant"], content["seed"], content["metrics"])
    # what was overridden for all variants alike, and how long the run was, are a part of the recipe
    overrides = [text for text in map(str, content.get("overrides", [])) if changes_result(text)]
    settings = {"overrides": overrides, "step": content["metrics"].get("step")}
    images = path.with_suffix(".npz")
    return replace(run, settings=settings, images=images if images.is_file() else None)


def value_of(metrics: Mapping[str, Any] | None, key: str) -> Any:
    """The value that a dotted key leads to; None where there is none."""
    value: Any = metrics
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def variant_run(
    path: Path, recipe: str, variant: str, seed: int, metrics: Mapping[str, Any] | None, state: str = "finished"
) -> Run:
    """The run of a variant, which is a loss and overrides: ``contextrast loss.alpha=0.2``."""
    return Run(path, {"recipe": recipe}, _overrides(variant_overrides(variant)), seed, None, metrics, state)


def headline(path: Path) -> str:
    """The first line of an error file."""
    return path.read_text(encoding="utf-8", errors="replace").partition("\n")[0]


def load(path: Path) -> Any:
    """Content of a JSON or YAML file; None if there is no such file.

    Raises:
        ConfigError: If it cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
        return json.loads(text) if path.suffix == ".json" else yaml.load(text, _LOADER)  # noqa: S506  (a safe loader)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, LookupError, AttributeError, RecursionError, yaml.YAMLError) as error:
        raise ConfigError(f"{path} cannot be read: {first_line(error)}") from error


def _find(folder: Path) -> Iterator[Path]:
    """Run folders and files of results below a folder; what lies inside a run folder belongs to the run."""
    if (folder / "config.yaml").is_file() or (folder / ".hydra").is_dir():
        yield folder
        return
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not path.name.startswith("."):
            yield from _find(path)
        elif path.suffix == ".json" and path.stem.isdecimal():
            yield path


def _read_folder(folder: Path) -> Run:
    """The run in a run folder; one that failed early has only what Hydra wrote, which is not resolved."""
    resolved = load(folder / "config.yaml")
    config = resolved or load(folder / ".hydra" / "config.yaml")
    if "loss" not in _section(config) or not _section(_section(config).get("data")).get("dataset"):
        raise ConfigError(f"{folder} is no run of contextrast-train: its configuration has no loss or no dataset")
    if not isinstance(config.get("seed"), int):
        raise ConfigError(f"{folder} does not say which seed it had: seed={config.get('seed')}")
    computed = results(config)
    hydra = _section(load(folder / ".hydra" / "hydra.yaml"))
    number = _section(_section(hydra.get("hydra")).get("job")).get("num")
    # Hydra rewrites its own files when somebody starts into the folder of a finished run, also if that is refused.
    overrides = load(folder / "overrides.yaml") or load(folder / ".hydra" / "overrides.yaml") or []
    metrics = load(folder / "metrics.json")
    if not isinstance(overrides, list) or not isinstance(metrics, dict | None):
        raise ConfigError(f"{folder} is no run of contextrast-train: overrides are no list, or metrics no mapping")
    return Run(
        path=folder,
        data={key: value for key, value in computed.items() if key.startswith(_DATASET)},
        overrides=_overrides([str(text) for text in overrides]),
        seed=config["seed"],
        settings=without_seeds(computed) if resolved else None,
        metrics=metrics,
        state="finished" if metrics is not None else _why_unfinished(folder),
        order=number if isinstance(number, int) else 0,
    )


def _section(content: Any) -> Mapping[str, Any]:
    """A mapping; an empty one in place of anything else, as files that others wrote may hold."""
    return content if isinstance(content, Mapping) else {}


def _why_unfinished(folder: Path) -> str:
    error = folder / ERROR_FILE
    return f"failed: {headline(error)}" if error.is_file() else "not finished"


def _overrides(texts: Sequence[str]) -> dict[str, str]:
    """Overrides by key; what does not tell settings apart is left out."""
    telling = {key: text for key, text in by_key(texts).items() if changes_result(text) and told_by_value(text)}
    return {key: text for key, text in telling.items() if key != "seed"}
