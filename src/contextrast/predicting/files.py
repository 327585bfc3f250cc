"""Predictions of image files: masks and overlays, as files of the same names."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from contextrast.data.decoding import decode_image
from contextrast.data.labels import LabelTable
from contextrast.errors import DataError
from contextrast.predicting.predictor import Predictor
from contextrast.reporting.figures import overlay


def write_predictions(
    predictor: Predictor, images: Iterable[tuple[Path, Path]], folder: Path, overlay_alpha: float | None
) -> None:
    """Write ``masks/NAME`` and ``overlays/NAME`` for each image, at its original size.

    Args:
        predictor: Segments them.
        images: Paths of images, each with the name of its results.
        folder: Where to.
        overlay_alpha: Opacity of the classes in overlays; None writes none.

    Raises:
        ContextrastError: If an image cannot be read.
    """
    for path, name in images:
        image = decode_image(path)
        ids = predictor(image)
        save_mask(ids, predictor.labels, folder / "masks" / name)
        if overlay_alpha is not None:
            target = folder / "overlays" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(overlay(image, ids, predictor.labels, overlay_alpha)).save(target)


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


def save_mask(ids: NDArray[np.uint8], labels: LabelTable, path: Path) -> None:
    """Write train ids ``[H, W]`` as an indexed PNG with the classes' colours as its palette."""
    mask = Image.fromarray(ids, mode="P")
    mask.putpalette([value for color in labels.palette for value in color])
    path.parent.mkdir(parents=True, exist_ok=True)
    mask.save(path)
