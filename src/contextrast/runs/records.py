"""Records of training runs, read back from the folders that hold them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from contextrast.errors import ConfigError, first_line
from contextrast.runs.names import variant_overrides
from contextrast.runs.reading import load, read_regular
from contextrast.runs.settings import by_key, changes_result, results, told_by_value, without_seeds

ERROR_FILE: Final = "error.txt"
"""File of a run folder that says, in its first line, why a job of a sweep failed."""

_DATASET: Final = ("data.dataset.", "data.root")  # settings that say what a run was measured on


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
        found = _find(folder, records.left_out)
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
            except (TypeError, ValueError, LookupError, AttributeError, RecursionError) as error:
                records.left_out[path] = f"{path} holds what no run does: {first_line(error)}"
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
    if not isinstance(content["seed"], int) or not all(isinstance(content[key], str) for key in ("recipe", "variant")):
        raise ConfigError(f"{path} is no result of a run: recipe and variant are no texts, or the seed no whole number")
    if not isinstance(content.get("overrides", []), list):
        raise ConfigError(f"{path} is no result of a run: its overrides are no list")
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
    return read_regular(path).decode("utf-8", "replace").partition("\n")[0]


def _find(folder: Path, left_out: dict[Path, str]) -> list[Path]:
    """Run folders and files of results below a folder, in order; what lies inside a run folder belongs to the run.

    Links are not followed: they can lead out of the folder, or round in circles.
    """
    found, open_ = [], [folder]
    while open_:
        path = open_.pop()
        if not path.is_dir() or (path / "config.yaml").is_file() or (path / ".hydra").is_dir():
            found.append(path)
        else:
            below = sorted(path.iterdir(), reverse=True)
            candidates = [one for one in below if _may_be_run(one)]
            links = {one for one in candidates if one.is_symlink()}
            left_out.update(dict.fromkeys(sorted(links), "it is a link; name the folder that it leads to"))
            open_.extend(one for one in candidates if one not in links)
    return found


def _may_be_run(path: Path) -> bool:
    """Whether there may be runs at a path, by its name and kind."""
    if path.is_dir():
        return not path.name.startswith(".")
    return path.suffix == ".json" and path.stem.isdecimal()


def _read_folder(folder: Path) -> Run:
    """The run in a run folder; one that failed early has only what Hydra wrote, which is not resolved."""
    resolved = load(folder / "config.yaml")
    hydras = folder / ".hydra"
    if hydras.is_symlink():
        raise ConfigError(f"{hydras} is a link. Runs are read from folders that hold them.")
    config = resolved or load(hydras / "config.yaml")
    if "loss" not in _section(config) or not _section(_section(config).get("data")).get("dataset"):
        raise ConfigError(f"{folder} is no run of contextrast-train: its configuration has no loss or no dataset")
    if not isinstance(config.get("seed"), int):
        raise ConfigError(f"{folder} does not say which seed it had: seed={config.get('seed')}")
    computed = results(config)
    hydra = _section(load(hydras / "hydra.yaml"))
    number = _section(_section(hydra.get("hydra")).get("job")).get("num")
    # Hydra rewrites its own files when somebody starts into the folder of a finished run, also if that is refused.
    overrides = load(folder / "overrides.yaml") or load(hydras / "overrides.yaml") or []
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
