"""Results of a series: ``<recipe>/<variant>/<seed>.json``, small, with the run's counts of images beside it."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from contextrast.errors import ConfigError
from contextrast.runs.files import write_json
from contextrast.runs.image_counts import counts_file
from contextrast.runs.names import path_name
from contextrast.runs.reading import load
from contextrast.runs.records import value_of
from contextrast.runs.settings import by_key, changes_result

PROTOCOL: Final = "single_scale"
"""How the images of a series are looked at."""

_COSTS: Final = (
    "train_seconds", "step_seconds", "waiting_share", "peak_memory_bytes", "parameters", "best", "step",
)  # fmt: skip
"""What a record keeps of a training's own numbers; scores are those of the evaluation."""


@dataclass(frozen=True)
class Variant:
    """A loss and what is overridden besides, in any order.

    Attributes:
        loss: Its file in ``conf/loss``.
        overrides: As typed.
    """

    loss: str
    overrides: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> "Variant":
        """The variant of ``contextrast loss.alpha=0.2``.

        Raises:
            ConfigError: If there is no loss, or something after it is no override.
        """
        loss, *overrides = text.split() or [""]
        if not loss or "=" in loss or any("=" not in override.lstrip("~") for override in overrides):
            raise ConfigError(
                f'"{text}" is no loss with overrides. Write the name of a file in conf/loss, then KEY=VALUE: '
                '"contextrast loss.negatives.error_map=others".'
            )
        return cls(loss, tuple(overrides))

    @property
    def text(self) -> str:
        """As it is typed."""
        return " ".join([self.loss, *self.overrides])

    @property
    def key(self) -> tuple[str, ...]:
        """Equal for equal variants."""
        return (self.loss, *sorted(self.overrides))

    @property
    def folder(self) -> str:
        """Name of its folder."""
        return path_name([f"loss={self.loss}", *self.overrides])


@dataclass(frozen=True)
class Record:
    """What a file of results says of its run.

    Attributes:
        path: The file.
        variant: Loss and overrides.
        seed: Its seed.
        overrides: Those of all variants alike.
        train_seconds: None where it is not recorded.
    """

    path: Path
    variant: Variant
    seed: int
    overrides: tuple[str, ...]
    train_seconds: float | None


def find_records(folder: Path) -> dict[tuple[tuple[str, ...], int], Record]:
    """The records in a folder of results by variant and seed, whatever their folders are called.

    Raises:
        ConfigError: If a file cannot be read, or two say the same run.
    """
    records: dict[tuple[tuple[str, ...], int], Record] = {}
    for path in sorted(folder.glob("*/*.json")):
        content = load(path)
        if not path.stem.isdecimal() or not isinstance(content, Mapping) or not {"variant", "seed"} <= set(content):
            continue
        seconds = value_of(content, "metrics.train_seconds")
        record = Record(
            path=path,
            variant=Variant.parse(str(content["variant"])),
            seed=int(path.stem),
            overrides=tuple(map(str, content.get("overrides") or ())),
            train_seconds=seconds if isinstance(seconds, int | float) else None,
        )
        other = records.setdefault((record.variant.key, record.seed), record)
        if other is not record:
            raise ConfigError(f"{other.path} and {path} are results of the same run. Remove one of them.")
    return records


def without_places(overrides: Sequence[str], recipe: str) -> tuple[str, ...]:
    """Overrides that tell what is computed; the experiment that gave the results their name goes without saying."""
    left_out = {f"experiment={recipe}"}
    return tuple(
        text
        for key, text in by_key(overrides).items()
        if text not in left_out and key != "seed" and changes_result(text)
    )


def write_record(
    path: Path, variant: Variant, seed: int, overrides: Sequence[str], run_dir: Path, evaluation: Path
) -> None:
    """Write a run's record and its counts of images: both or, as far as readers are concerned, nothing.

    Args:
        path: ``<recipe>/<variant>/<seed>.json``.
        variant: Loss and overrides.
        seed: Its seed.
        overrides: Those of all variants alike.
        run_dir: Folder of the training.
        evaluation: Folder of the evaluation of its last checkpoint.

    Raises:
        ConfigError: If a folder lacks its numbers.
    """
    trained, measured = _numbers(run_dir), _numbers(evaluation)
    environment = dict(load(run_dir / "environment.json") or {})
    environment.pop("command", None)  # names folders of this machine; recipe, variant and seed say it all
    path.parent.mkdir(parents=True, exist_ok=True)
    counts = counts_file(evaluation, PROTOCOL)
    if counts.is_file():
        partial = path.with_name(f".{path.stem}.npz")
        shutil.copyfile(counts, partial)
        partial.replace(path.with_suffix(".npz"))  # before the record, whose presence says that all is there
    costs = {key: trained[key] for key in _COSTS if key in trained}
    record = {
        "recipe": path.parents[1].name,
        "variant": variant.text,
        "seed": seed,
        "overrides": list(overrides),
        "measured": {"split": measured["split"], "checkpoint": "last", "step": measured["step"], "protocol": PROTOCOL},
        "metrics": costs | measured[PROTOCOL],
        "environment": environment,
    }
    write_json(path, record)


def _numbers(folder: Path) -> Mapping[str, Any]:
    content = load(folder / "metrics.json")
    if not isinstance(content, Mapping):
        raise ConfigError(f"{folder} has no metrics.json: its run is not finished.")
    return content
