"""Finding image and mask files that belong together, with everything wrong said at once."""

from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from PIL import Image

from contextrast.errors import DataError

SUFFIXES: Final = (".png", ".jpg", ".jpeg", ".bmp", ".ppm", ".tif", ".tiff", ".webp")
"""What counts as an image file, compared in lower case."""

_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Pair:
    """An image file and its mask file.

    Attributes:
        name: Short id, unique in its split.
        image: Path of the image.
        mask: Path of the mask.
    """

    name: str
    image: Path
    mask: Path


def image_files(folder: Path) -> dict[str, Path]:
    """Lists the image files of a folder (not of folders inside), sorted by name.

    Returns:
        Path by file name without suffix; empty where there is no such folder.

    Raises:
        DataError: Two files differ in their suffix only.
    """
    files: dict[str, Path] = {}
    clashes = []
    for path in sorted(folder.glob("[!.]*")):
        if path.suffix.lower() in SUFFIXES:
            if path.stem in files:
                clashes.append(f"{files[path.stem].name} and {path.name}")
            files[path.stem] = path
    fail_if(clashes, f"{folder} has files that differ in their suffix only; remove one of each")
    return files


def match(images: Mapping[str, Path], masks: Mapping[str, Path], names: Iterable[str], where: str) -> list[Pair]:
    """Pairs images and masks by name.

    Args:
        images: Image files by name.
        masks: Mask files by name.
        names: Which to pair, in this order; keys of the two.
        where: What is being read, for messages: ``"CamVid train (/data/CamVid)"``.

    Raises:
        DataError: An image has no mask, a mask has no image, or a name has neither; all are listed, up to ten.
    """
    pairs = []
    problems = []
    for name in names:
        image, mask = images.get(name), masks.get(name)
        if image is not None and mask is not None:
            pairs.append(Pair(image.stem, image, mask))
        elif image is not None:
            problems.append(f"image without mask: {image}")
        elif mask is not None:
            problems.append(f"mask without image: {mask}")
        else:
            problems.append(f"neither image nor mask: {name}")
    fail_if(problems, f"{where} is incomplete; add the missing files or remove the single ones")
    return pairs


def check_headers(pairs: Collection[Pair]) -> None:
    """Reads the header of every file: finds non-images and unequal sizes before the first step, without decoding.

    Raises:
        DataError: Listing what is wrong, up to ten files.
    """
    with ThreadPoolExecutor(8) as pool:  # hides the latency of network file systems
        problems = [problem for problem in pool.map(_header_problem, pairs) if problem]
    fail_if(
        problems, "Files that cannot be used; fetch them again or replace one of each pair (they are never resized)"
    )


def fail_if(problems: Collection[str], message: str) -> None:
    """Raises a `DataError` that lists the problems, up to ten, if there are any."""
    if problems:
        lines = [f"  {problem}" for problem in list(problems)[:_SHOWN]]
        if len(problems) > _SHOWN:
            lines.append(f"  ... and {len(problems) - _SHOWN} more")
        raise DataError("\n".join([f"{message}:", *lines]))


def _header_problem(pair: Pair) -> str | None:
    sizes = []
    for path in (pair.image, pair.mask):
        try:
            with Image.open(path) as file:
                sizes.append(file.size)
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            return f"not an image: {path} ({error})"
    if sizes[0] == sizes[1]:
        return None
    (width, height), (mask_width, mask_height) = sizes
    return (
        f"different sizes (width x height): {pair.image} is {width}x{height}, {pair.mask} is {mask_width}x{mask_height}"
    )
