"""Predictions of image files: masks, overlays and probabilities, as files of the same names."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, get_args

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray
from PIL import Image

from contextrast.data.decoding import Picture
from contextrast.data.drawing import as_rgb
from contextrast.data.labels import IGNORE_INDEX, LabelTable
from contextrast.errors import ConfigError, DataError, check_number
from contextrast.models import Tile
from contextrast.predicting.predictor import Predictor
from contextrast.reporting.figures import overlay
from contextrast.runs.files import write_json

Values = Literal["train_ids", "dataset"]

OUTPUTS: Final = ("mask", "overlay", "confidence", "probabilities")
"""What can be written for an image."""

_RECORD: Final = "predictions.json"
_WRITTEN: Final = ("masks", "overlays", "confidence", "probabilities")


@dataclass(frozen=True)
class Results:
    """What is written for each image into a folder, at the image's original size.

    * ``mask``: ``masks/NAME.png``, the class of each pixel: an indexed PNG with the classes' colours, 16-bit grey where
      a value is above 255, or RGB where the dataset's own masks are coloured.
    * ``overlay``: ``overlays/NAME.png``, the classes' colours over the image.
    * ``confidence``: ``confidence/NAME.png``, 8-bit grey, 255 times the probability of the class.
    * ``probabilities``: ``probabilities/NAME.npy``, float16 ``[N, H, W]``, classes in the order of their train ids.

    Attributes:
        folder: Where to.
        labels: The classes.
        outputs: Which of these.
        values: What masks have: ``train_ids``, or the values of the ``dataset``'s own masks.
        overlay_alpha: Opacity of the classes in overlays; None writes none.

    Raises:
        ConfigError: If there is no such output, no such values, or no such opacity.
        DataError: If the dataset's own values are not known.
    """

    folder: Path
    labels: LabelTable
    outputs: Sequence[str] = ("mask", "overlay")
    values: Values = "train_ids"
    overlay_alpha: float | None = 0.5

    def __post_init__(self) -> None:
        if not isinstance(self.outputs, list | tuple) or not self.outputs or {*map(str, self.outputs)} - {*OUTPUTS}:
            raise ConfigError(f"outputs={self.outputs} has to be a list of {', '.join(OUTPUTS)}: outputs=[mask].")
        if self.values not in get_args(Values):
            raise ConfigError(f"values={self.values} is unknown; choose one of {', '.join(get_args(Values))}.")
        if self.overlay_alpha is not None:
            check_number("overlay_alpha", self.overlay_alpha, 0, 1)
        self._in_masks(np.zeros((1, 1), np.uint8))

    @property
    def meaning(self) -> str:
        """What the values of masks are, in words."""
        return "train ids, 0 for the first class" if self.values == "train_ids" else "the values of the dataset's masks"

    def write_record(self) -> None:
        """Write ``predictions.json``: what masks have for each class, its colour, and the order of the classes."""
        values = self._in_masks(np.arange(self.labels.num_classes)).tolist()
        classes = zip(self.labels.classes, values, self.labels.palette, strict=True)
        listed = [{"name": name, "value": value, "color": list(color)} for name, value, color in classes]
        write_json(self.folder / _RECORD, {"values": self.values, "classes": listed})

    def write(self, predictor: Predictor, image: Picture, name: Path) -> None:
        """Predict an image and write what is wanted of it.

        Args:
            predictor: Segments it.
            image: uint8 ``[H, W, C]``.
            name: Path of its results below each folder; the suffix is theirs.

        Raises:
            DataError: If the network does not take the image.
        """
        probabilities: NDArray[Any] | None = None

        def keep(tile: Tile) -> None:
            nonlocal probabilities
            if probabilities is None:
                shape = (tile.probabilities.shape[1], *image.shape[:2])
                probabilities = open_memmap(self._path("probabilities", name, ".npy"), "w+", np.float16, shape)
            probabilities[:, tile.rows, tile.columns] = tile.probabilities[0].half().cpu().numpy()

        ids, confidence = predictor.with_confidence(image, keep if "probabilities" in self.outputs else None)
        if "mask" in self.outputs:
            self._mask(ids).save(self._path("masks", name))
        if "overlay" in self.outputs and self.overlay_alpha is not None:
            drawn = overlay(as_rgb(image, predictor.rgb), ids, self.labels, self.overlay_alpha)
            Image.fromarray(drawn).save(self._path("overlays", name))
        if "confidence" in self.outputs:
            Image.fromarray(confidence).save(self._path("confidence", name))

    def _path(self, kind: str, name: Path, suffix: str = ".png") -> Path:
        path = self.folder / kind / name.with_suffix(suffix)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def _in_masks(self, ids: NDArray[Any]) -> NDArray[Any]:
        return ids if self.values == "train_ids" else self.labels.in_files(ids)

    def _mask(self, ids: NDArray[np.uint8]) -> Image.Image:
        values = self._in_masks(ids)
        if values.ndim == 3 or values.dtype != np.uint8:
            return Image.fromarray(values)
        mask = Image.fromarray(values, mode="P")
        palette = np.zeros((IGNORE_INDEX + 1, 3), np.uint8)
        palette[self._in_masks(np.arange(self.labels.num_classes, dtype=np.uint8))] = self.labels.palette
        mask.putpalette(palette.tobytes())
        return mask


def write_predictions(predictor: Predictor, images: Iterable[tuple[Path, Path]], results: Results) -> list[str]:
    """Predict images; one that cannot be read keeps none of the others from it.

    Args:
        predictor: Segments them.
        images: Paths of images, each with the name of its results.
        results: What is written.

    Returns:
        What failed: the path of an image and the reason each.

    Raises:
        ConfigError: If probabilities are wanted of an export that has none.
    """
    asked = {"confidence", "probabilities"} & {*results.outputs}
    if asked and not predictor.knows_probabilities:
        raise ConfigError(
            f"outputs={list(results.outputs)}: this export has the argmax inside, so that there is no "
            f"{' and no '.join(sorted(asked))}. Export it with format.argmax=false."
        )
    failures = []
    for path, name in images:
        try:
            results.write(predictor, predictor.read(path), name)
        except DataError as error:
            failures.append(str(error) if str(path) in str(error) else f"{path}: {error}")
    return failures


def earlier_results(folder: Path) -> list[Path]:
    """Folders of results that predictions have left in a folder or below it."""
    return [path.parent / kind for path in folder.rglob(_RECORD) for kind in _WRITTEN]


def result_names(images: Sequence[tuple[Path, Path]]) -> list[Path]:
    """Paths of the results below the output folder: names and subfolders kept, the suffix becomes ``.png``.

    Args:
        images: Paths of images, each with its path below the folder that was asked for.

    Raises:
        DataError: If two images would share a result.
    """
    names = [relative.with_suffix(".png") for _, relative in images]
    first: dict[Path, Path] = {}
    for (path, _), name in zip(images, names, strict=True):
        if name in first:
            raise DataError(f"{first[name]} and {path} would both become {name}: rename one, or predict them apart.")
        first[name] = path
    return names
