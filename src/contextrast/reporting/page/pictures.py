"""Pictures of runs for the page, from the layers that training leaves in their folders."""

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from contextrast.errors import ConfigError
from contextrast.reporting.rows import Row
from contextrast.runs.reading import load, read_regular
from contextrast.runs.records import Run

LAYERS: Final = Path("pictures") / "layers"
"""Folder of a run's layers, below the run folder."""

INDEX: Final = "layers.json"
"""What the layers show: step, names of the images, colours of classes and marks."""

COMMON: Final = {"image": "image.jpg", "truth": "truth.png"}
"""Layers that all runs on the same images share; files are ``<place of the image>_<this>``."""

OWN: Final = {"prediction": "prediction.png", "errors": "errors.png", "negatives": "negatives.png"}
"""Layers of a run itself."""

_IMAGES: Final = 6
_METHODS: Final = 12
_BYTES: Final = 400_000  # of a file; what training writes stays below
_TYPES: Final = {".png": "image/png", ".jpg": "image/jpeg"}
_COLOR: Final = re.compile(r"#[0-9a-f]{6}")


@dataclass(frozen=True)
class Gallery:
    """Pictures of several methods on the same images.

    Attributes:
        seed: Of all the runs that are shown.
        data: For the page's script: ``images`` (``name``, ``image``, ``truth``) and ``methods`` (``label``, ``step``,
            ``images`` with ``prediction``, ``errors`` and ``negatives``), pictures as ``data:`` addresses.
        classes: Colours by class name.
        marks: Colours of errors, their edges and negatives, by what they are called.
    """

    seed: int
    data: Mapping[str, Any]
    classes: Mapping[str, str]
    marks: Mapping[str, str]


def gallery(rows: Sequence[Row], baseline: str | None, notes: list[str]) -> Gallery | None:
    """The pictures of some rows, for the seed that most of them have pictures of.

    Args:
        rows: Settings.
        baseline: Label of the row that comes first, if it has pictures.
        notes: Gets what is left out and why.

    Returns:
        None where no run has layers.
    """
    ordered = sorted(rows, key=lambda row: row.label != baseline)
    found = [(row.label, run, index) for row in ordered for run in row.runs if (index := _index(run, notes))]
    if not found:
        return None
    seeds = [run.seed for _, run, _ in found]
    seed = max(dict.fromkeys(seeds), key=seeds.count)
    shown = [(label, run, index) for label, run, index in found if run.seed == seed]
    names = shown[0][2]["names"]
    notes.extend(f"{label}, seed {seed}: other images, no pictures" for label, _, i in shown if i["names"] != names)
    shown = [item for item in shown if item[2]["names"] == names]
    if len(shown) > _METHODS:
        notes.append(f"pictures of the first {_METHODS} of {len(shown)} settings are shown")
    images: list[dict[str, Any]] = []
    methods = []
    for label, run, index in shown[:_METHODS]:
        try:
            own = [_read(run.path / LAYERS, place, OWN) for place in range(len(names))]
            if not images:
                common = [_read(run.path / LAYERS, place, COMMON) for place in range(len(names))]
                images = [{"name": name, **layers} for name, layers in zip(names, common, strict=True)]
        except ConfigError as error:
            notes.append(str(error))
            continue
        methods.append({"label": label, "step": index["step"], "images": own})
    colors = shown[0][2]
    return Gallery(seed, {"images": images, "methods": methods}, colors["classes"], colors["marks"]) if images else None


def _index(run: Run, notes: list[str]) -> dict[str, Any] | None:
    """What a run's layers show, cut to a few images; None without layers."""
    path = run.path / LAYERS / INDEX
    if any(folder.is_symlink() for folder in (path.parent, path.parent.parent)):
        notes.append(f"{path.parent} is reached by a link: its pictures are left out")
        return None
    if not path.is_file():  # so it is for a file of results, which is no folder
        return None
    try:
        content = load(path)
    except ConfigError as error:
        notes.append(str(error))
        return None
    if not isinstance(content, dict) or not isinstance(content.get("names"), list) or not content["names"]:
        notes.append(f"{path} names no images: its pictures are left out")
        return None
    names = [str(name) for name in content["names"][:_IMAGES]]
    colors = {kind: _colors(content.get(kind)) for kind in ("classes", "marks")}
    step = content.get("step")
    return {"names": names, "step": step if isinstance(step, int) else None, **colors}


def _colors(content: Any) -> dict[str, str]:
    known = content if isinstance(content, dict) else {}
    return {name: color for name, color in known.items() if isinstance(color, str) and _COLOR.fullmatch(color)}


def _read(folder: Path, place: int, layers: Mapping[str, str]) -> dict[str, str]:
    """Layers of an image as ``data:`` addresses.

    Raises:
        ConfigError: If a file is missing or larger than training writes it.
    """
    return {layer: _address(folder / f"{place}_{name}") for layer, name in layers.items()}


def _address(path: Path) -> str:
    try:
        content = read_regular(path, _BYTES)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be shown, the pictures of its run are left out: {error}") from error
    return f"data:{_TYPES[path.suffix]};base64,{base64.b64encode(content).decode('ascii')}"
