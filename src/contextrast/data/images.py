"""Which files are images: of a folder, of its subfolders, of a pattern."""

import os
from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import Final

from contextrast.errors import DataError

SUFFIXES: Final = (".png", ".jpg", ".jpeg", ".bmp", ".ppm", ".tif", ".tiff", ".webp")
"""What counts as an image file, compared in lower case."""


def is_image(path: PurePath) -> bool:
    """Whether a file is called as an image is."""
    return path.suffix.lower() in SUFFIXES


def images_of(folder: Path, *, subfolders: bool = False) -> list[Path]:
    """The image files of a folder, sorted; hidden ones, which systems and editors leave, do not count.

    Args:
        folder: The folder; one that is not there has no images.
        subfolders: Whether those in folders inside it count too, hidden ones left out.

    Raises:
        DataError: If a folder cannot be looked into.
    """
    return sorted(path for path in _files(folder, subfolders) if is_image(path))


def find_images(setting: str, pattern: str) -> list[tuple[Path, Path]]:
    """Image files that a user names: each with the path its result is named after.

    Args:
        setting: What was set, for messages: ``input``.
        pattern: A file, a folder, which stands for the images in it and its subfolders, or a pattern of files.

    Raises:
        DataError: If there is none.
    """
    path = Path(pattern).expanduser()
    if path.is_file():
        return [(path, Path(path.name))]
    if path.is_dir():
        found = [(file, file.relative_to(path)) for file in images_of(path, subfolders=True)]
    else:
        anchor = Path(path.anchor) if path.is_absolute() else Path()
        matches = anchor.glob(str(path.relative_to(path.anchor) if path.is_absolute() else path))
        files = (file for file in sorted(matches) if file.is_file() and not file.name.startswith("."))
        found = [(file, Path(file.name)) for file in files]
    if not found:
        raise DataError(
            f"{setting}={pattern} matches no image. Give a file, a folder with {', '.join(SUFFIXES)} files, or a "
            "quoted pattern such as 'frames/*.jpg'."
        )
    return found


def _files(folder: Path, subfolders: bool) -> Iterator[Path]:
    """Files whose names and folders do not start with a dot; what is inside a link to a folder is left out."""
    try:
        for place, folders, names in os.walk(folder, onerror=_fail):
            folders[:] = [name for name in folders if subfolders and not name.startswith(".")]
            yield from (Path(place, name) for name in names if not name.startswith("."))
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:  # such as a name in a list file that no folder can have
        raise DataError(
            f"{error.filename} cannot be looked into ({error.strerror}). Check the name and who may read it."
        ) from error


def _fail(error: OSError) -> None:
    raise error
