"""Converting label maps to PNG masks: what the scripts that prepare datasets have in common."""

import argparse
import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence, Sized
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from contextrast.data.decoding import Picture
from contextrast.data.formats import header, opened
from contextrast.data.image_lists import read_image_list
from contextrast.data.orientation import text
from contextrast.data.pairing import Pair
from contextrast.data.parallel import in_processes
from contextrast.data.problems import fail_if
from contextrast.errors import ContextrastError, DataError


@dataclass(frozen=True)
class Target:
    """Where a split goes.

    Attributes:
        images: Folder of the images.
        masks: Folder of the masks.
        list_file: File that names the images.
        mask_suffix: What a mask's name has after the image's.
    """

    images: Path
    masks: Path
    list_file: Path
    mask_suffix: str = ""


def run(prepare: Callable[[Path, Path, int, bool], None], description: str | None) -> None:
    """Run a script that prepares a dataset: ``prepare(source, target, processes, subset)`` of the command line.

    What is wrong with the data ends it with a message and exit code 1.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="folder of the dataset as distributed")
    parser.add_argument("target", type=Path, help="folder to write to; may be the same")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="how many convert at a time")
    parser.add_argument("--subset", action="store_true", help="take lists of other lengths than the published ones")
    given = parser.parse_args()
    try:
        prepare(given.source, given.target, given.processes, given.subset)
    except ContextrastError as error:
        sys.exit(f"{error}")


def check_counts(splits: Mapping[str, Sized], published: Mapping[str, int]) -> None:
    """Compare the lengths of the splits with the published ones.

    Raises:
        DataError: They differ.
    """
    fail_if(
        [f"{name}: {len(found)} instead of {published[name]}" for name, found in splits.items()
         if len(found) != published[name]],
        "The lists do not have the published lengths; fetch them again, or add --subset to take them as they are",
    )  # fmt: skip


def convert_split(
    pairs: Sequence[Pair], decode: Callable[[Path], Picture], target: Target, processes: int, description: str
) -> None:
    """Write a split's masks as PNGs with 0 = ignored and train id + 1, and put the images beside them.

    What is there already is left alone, and every file appears whole or not at all, so that a stopped conversion
    continues where it was. Images are hard links where the file system has them, else copies.

    Args:
        pairs: Images and label maps.
        decode: Reads a label map, to train ids.
        target: Where to write to.
        processes: Processes that convert; 0 does it in this one.
        description: What stands before the progress bar.

    Raises:
        DataError: Label maps that cannot be used; all others have been converted by then.
    """
    for folder in (target.images, target.masks, target.list_file.parent):
        folder.mkdir(parents=True, exist_ok=True)
    _write_list(target.list_file, [pair.name for pair in pairs])
    results = in_processes(_Converter(decode, target), pairs, processes, description)
    fail_if([problem for problem in results if problem], "Label maps that cannot be converted; fetch them again")


class _Converter:
    """Converts one pair; returns what is wrong with it."""

    def __init__(self, decode: Callable[[Path], Picture], target: Target) -> None:
        self.decode = decode
        self.target = target

    def __call__(self, pair: Pair) -> str | None:
        assert pair.mask is not None
        mask = self.target.masks / f"{pair.name}{self.target.mask_suffix}.png"
        try:
            if not mask.exists():
                _write_mask(mask, self.decode(pair.mask), pair)
        except DataError as error:
            return str(error)
        image = self.target.images / pair.image.name
        if not image.exists():
            _link_or_copy(pair.image, image)
        return None


def _write_mask(path: Path, train_ids: Picture, pair: Pair) -> None:
    with opened(pair.image) as file:
        sizes = header(file, pair.image).sizes("auto")
    size = train_ids.shape[1], train_ids.shape[0]
    if size not in sizes:
        raise DataError(
            f"different sizes (width x height): {pair.image} is {text(sizes[0])}, {pair.mask} is {text(size)}"
        )
    write_png(path, train_ids + np.uint8(1))  # the ignore index wraps round to 0


def write_png(path: Path, pixels: Picture) -> None:
    """Write a PNG that is there whole or not at all."""
    part = _part(path)
    Image.fromarray(pixels).save(part, "PNG")
    part.replace(path)


def _write_list(path: Path, names: list[str]) -> None:
    if path.is_file() and read_image_list(path) == names:
        return
    part = _part(path)
    part.write_text("\n".join(names) + "\n", "utf-8")
    part.replace(path)


def _link_or_copy(source: Path, path: Path) -> None:
    try:
        path.hardlink_to(source)
    except OSError:  # another file system, or one without links
        part = _part(path)
        shutil.copyfile(source, part)
        part.replace(path)


def _part(path: Path) -> Path:
    """A name for half a file: hidden, so that no dataset reads it, and the same after a restart."""
    return path.with_name(f".{path.name}.part")
