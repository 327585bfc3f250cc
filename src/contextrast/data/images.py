"""Which files are images: of a folder, of its subfolders, of a pattern; one answer for every command."""

import logging
import os
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from pathlib import Path, PurePath
from typing import Final

from contextrast.errors import DataError

log = logging.getLogger(__name__)

SUFFIXES: Final = (
    *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".tif", ".tiff", ".webp", ".bmp", ".gif"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".pfm", ".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx", ".npy"),
)
"""What counts as an image file, compared in lower case: all that the formats which are read are called."""

_RUN: Final = ".hydra"  # what a command leaves in the folder of its run
_OTHER: Final = "other suffixes than those of images"
_HIDDEN: Final = "hidden files"
_NO_TEXT: Final = "names that are no Unicode text"
_CALLED: Final = "folders called as images are (images in them count)"
_RUNS: Final = "folders of runs"
_OWN: Final = "folders that this command writes"
_LOOPS: Final = "links to a folder that they are in"
_EXAMPLES: Final = 3


def is_image(path: PurePath) -> bool:
    """Whether a file is called as an image is."""
    return path.suffix.lower() in SUFFIXES


def images_of(folder: Path, *, subfolders: bool = False, exclude: Collection[Path] = ()) -> list[Path]:
    """The image files of a folder, sorted; hidden ones, which systems and editors leave, do not count.

    Args:
        folder: The folder; one that is not there has no images.
        subfolders: Whether those in folders inside it count too, linked ones included. Hidden folders and those of runs
            do not. What is left out is then said, once.
        exclude: Folders inside it that are left out.

    Raises:
        DataError: If a folder cannot be looked into.
    """
    found = []
    left_out = defaultdict(list)
    inside = (os.path.realpath(folder),) if subfolders else ()
    for path, reason in _entries(folder, subfolders, {os.path.realpath(path) for path in exclude}, inside):
        if reason is None:
            found.append(path)
        else:
            left_out[reason].append(str(path.relative_to(folder)))
    if subfolders:
        say_left_out(str(folder), left_out)
    return sorted(found)


def find_images(setting: str, pattern: str, exclude: Collection[Path] = ()) -> list[tuple[Path, Path]]:
    """Image files that a user names: each with the path its result is named after.

    Args:
        setting: What was set, for messages: ``input``.
        pattern: A file, a folder, which stands for the images in it and its subfolders, or a pattern of files.
        exclude: Folders that are left out where they lie inside the folder: those that results are written to.

    Raises:
        DataError: If there is none.
    """
    path = Path(pattern).expanduser()
    if path.is_file():
        return [(path, Path(path.name))]
    if path.is_dir():
        found = [(file, file.relative_to(path)) for file in images_of(path, subfolders=True, exclude=exclude)]
    else:
        found = [(file, Path(file.name)) for file in _matches(path, pattern)]
    if not found:
        raise DataError(
            f"{setting}={pattern} matches no image. Give a file, a folder with {', '.join(SUFFIXES)} files, or a "
            "quoted pattern such as 'frames/*.jpg'."
        )
    return found


def _matches(path: Path, pattern: str) -> list[Path]:
    """Image files that a pattern matches, sorted; it says what else it matches."""
    anchor = Path(path.anchor) if path.is_absolute() else Path()
    found = []
    left_out = defaultdict(list)
    for match in sorted(anchor.glob(str(path.relative_to(path.anchor) if path.is_absolute() else path))):
        reason = "folders" if match.is_dir() else _why_not(match)
        if reason is None:
            found.append(match)
        else:
            left_out[reason].append(match.name)
    say_left_out(pattern, left_out)
    return found


def _entries(
    folder: Path, subfolders: bool, exclude: Collection[str], inside: tuple[str, ...]
) -> Iterator[tuple[Path, str | None]]:
    """What lies in a folder, each with the reason why it is left out; None for images."""
    try:
        with os.scandir(folder) as entries:
            listed = [(Path(entry.path), entry.is_dir()) for entry in entries]
    except (FileNotFoundError, NotADirectoryError):
        return
    except (OSError, ValueError) as error:  # such as a name in a list file that no folder can have
        reason = error.strerror if isinstance(error, OSError) else error
        raise DataError(
            f"{str(folder)!r} cannot be looked into ({reason}). Check the name and who may read it."
        ) from error
    for path, is_folder in listed:
        if not is_folder:
            if (reason := _why_not(path)) is None or not path.name.startswith(".") or is_image(path):
                yield path, reason
        elif subfolders and not path.name.startswith("."):
            real = os.path.realpath(path)
            if real in exclude or real in inside or (path / _RUN).is_dir():
                yield path, _OWN if real in exclude else _LOOPS if real in inside else _RUNS
            else:
                if is_image(path):
                    yield path, _CALLED
                yield from _entries(path, subfolders, exclude, (*inside, real))


def _why_not(path: Path) -> str | None:
    """Why a file is no image, as far as its name tells; None if it is one."""
    if path.name.startswith("."):
        return _HIDDEN
    if not is_image(path):
        return _OTHER
    try:
        str(path).encode()
    except UnicodeEncodeError:  # it could neither be printed nor written into a report
        return _NO_TEXT
    return None


def say_left_out(where: str, left_out: Mapping[str, list[str]]) -> None:
    """Log how many files are left out and why, with examples; the same once.

    Args:
        where: Where they lie.
        left_out: Names by reason.
    """
    if left_out:
        told = (
            f"{len(names)} {reason} ({', '.join(sorted(names)[:_EXAMPLES])}{', ...' if len(names) > _EXAMPLES else ''})"
            for reason, names in left_out.items()
        )
        _warn_once(f"Left out in {where}: {'; '.join(told)}.".encode(errors="backslashreplace").decode())


@cache
def _warn_once(text: str) -> None:
    log.warning("%s", text)
