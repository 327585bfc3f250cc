"""Confusion matrices of single images, in one small file beside a run's numbers."""

import os
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from contextrast.errors import ConfigError, first_line
from contextrast.runs.reading import read_regular

_LARGEST: Final = 2**30  # bytes of a file's content when unpacked; 2000 images of 171 classes have a tenth
_KEYS: Final = frozenset({"names", "classes", "threshold", "whole", "band"})

Counts = NDArray[np.int64]


@dataclass(frozen=True)
class ImageCounts:
    """Pixels of every image of a split, by labelled and predicted class.

    What is counted is kept as rows ``(image, labelled class, predicted class, pixels)``, int64 ``[K, 4]``: most cells
    of the matrices are empty. Predictions of no class have the predicted class N.

    Attributes:
        names: Of the images, in the order of their places.
        classes: N class names in the order of their train ids.
        whole: Rows of the whole images.
        band: Rows of the pixels near class boundaries, those of B-mIoU.
        threshold: tau of the band, in pixels.
    """

    names: Sequence[str]
    classes: Sequence[str]
    whole: Counts
    band: Counts
    threshold: float

    def confusion(self, rows: Counts) -> Counts:
        """The split's confusion matrix, ``[N, N + 1]``: the sum over images of some of the rows, whole or band."""
        number = len(self.classes)
        total = np.zeros((number, number + 1), dtype=np.int64)
        np.add.at(total, (rows[:, 1], rows[:, 2]), rows[:, 3])
        return total

    def class_pixels(self, rows: Counts) -> Counts:
        """Of each image and class: pixels found, labelled, and predicted. int64 ``[images, 3, N]``."""
        number = len(self.classes)
        found = np.zeros((len(self.names), 3, number + 1), dtype=np.int64)
        image, labelled, predicted, pixels = rows.T
        right = labelled == predicted
        np.add.at(found, (image[right], 0, labelled[right]), pixels[right])
        np.add.at(found, (image, 1, labelled), pixels)
        np.add.at(found, (image, 2, predicted), pixels)
        return found[:, :, :number]


def counts_file(folder: Path, protocol: str) -> Path:
    """Where an evaluation leaves the counts of a protocol, such as ``single_scale``."""
    return folder / f"images_{protocol}.npz"


def write_image_counts(path: Path, counts: ImageCounts) -> None:
    """Write a compressed file that is either complete or not there.

    Args:
        path: Ends in ``.npz``.
        counts: What is written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez_compressed(
                file,
                names=np.array(list(counts.names), dtype=np.str_),
                classes=np.array(list(counts.classes), dtype=np.str_),
                threshold=np.float64(counts.threshold),
                whole=_by_column(counts.whole),
                band=_by_column(counts.band),
            )
        Path(temporary).chmod(0o644)  # mkstemp's files are for their owner alone
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def read_image_counts(path: Path) -> ImageCounts:
    """Read what `write_image_counts` wrote; nothing in it is executed.

    Raises:
        ConfigError: If the file cannot be read or holds anything else.
    """
    try:
        packed = BytesIO(read_regular(path))
        with zipfile.ZipFile(packed) as archive:
            size = sum(item.file_size for item in archive.infolist())
        if size > _LARGEST:
            raise ValueError(f"{size} bytes when unpacked are more than counts of images have")
        with np.load(packed, allow_pickle=False) as content:
            if set(content.files) != _KEYS:
                raise ValueError(f"it holds {', '.join(sorted(content.files)) or 'nothing'}")
            names, classes = (tuple(map(str, content[key].tolist())) for key in ("names", "classes"))
            whole, band = (_checked(content[key], len(names), len(classes)) for key in ("whole", "band"))
            return ImageCounts(names, classes, whole, band, float(content["threshold"]))
    except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile, MemoryError) as error:
        raise ConfigError(
            f"{path} holds no counts of images: {first_line(error)}. Remove it, or evaluate the run again."
        ) from error


def _by_column(rows: Counts) -> NDArray[np.int32]:
    """Rows as they are stored, to be small: ``[4, K]``, images as steps to the next one."""
    columns = rows.T.copy()
    columns[0] = np.diff(columns[0], prepend=0)
    return columns.astype(np.int32)


def _checked(columns: NDArray[Any], images: int, classes: int) -> Counts:
    """Rows from how they are stored.

    Raises:
        ValueError: If they are no counts of so many images and classes.
    """
    if columns.ndim != 2 or len(columns) != 4 or columns.dtype.kind not in "iu":
        raise ValueError(f"counts of type {columns.dtype} and shape {columns.shape}")
    rows = columns.T.astype(np.int64)
    rows[:, 0] = rows[:, 0].cumsum()
    ends = (images, classes, classes + 1)
    if rows.size and (rows.min() < 0 or any(rows[:, place].max() >= end for place, end in enumerate(ends))):
        raise ValueError(f"counts beyond {images} images and {classes} classes")
    return rows
