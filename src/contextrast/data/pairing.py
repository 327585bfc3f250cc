"""Finding image and mask files that belong together, with everything wrong said at once."""

from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from contextrast.data.arrays import RGB, array_size, is_array
from contextrast.data.formats import header, image_size, opened
from contextrast.data.images import images_of, is_image
from contextrast.data.masks import check_mask_file
from contextrast.data.orientation import Header, Tagged, text
from contextrast.data.problems import collecting, fail_if
from contextrast.data.text_files import normal
from contextrast.errors import ConfigError, DataError


@dataclass(frozen=True, slots=True)
class Pair:
    """An image file and its mask file.

    Attributes:
        name: Short id, unique in its split.
        image: Path of the image.
        mask: Path of the mask; ``None`` in a split without labels.
    """

    name: str
    image: Path
    mask: Path | None


def given_path(key: str, value: object) -> Path:
    """A path that a setting gives, with ``~`` resolved.

    Args:
        key: The setting, for messages: ``"data.root"``.
        value: What it was set to.

    Raises:
        ConfigError: It is no text, or no path that this machine can have.
    """
    if not isinstance(value, str | Path):
        raise ConfigError(f"{key}={value} is no path; one that looks like a number is quoted: {key}=\"'{value}'\".")
    try:
        path = Path(value).expanduser()
        path.exists()  # says whether the name is possible at all
    except (OSError, RuntimeError, ValueError) as error:
        raise ConfigError(f"{key}={value} cannot be a path here ({error}). Name another one.") from error
    return path


def image_files(folder: Path, *, subfolders: bool = False) -> dict[str, Path]:
    """List the image files of a folder, sorted by name.

    Args:
        folder: The folder.
        subfolders: Whether to look into folders inside, and say what is left out, see `images_of`.

    Returns:
        Path by name: the path from the folder with ``/`` and without suffix, Unicode composed (NFC); empty where there
        is no such folder.

    Raises:
        DataError: Two files differ in their suffix only, or the folder cannot be looked into.
    """
    files: dict[str, Path] = {}
    clashes = []
    for path in images_of(folder, subfolders=subfolders):
        name = normal(path.relative_to(folder).with_suffix("").as_posix())
        if name in files:
            clashes.append(f"{files[name].name} and {path.name}")
        files[name] = path
    fail_if(clashes, f"{folder} has files that differ in their suffix only; remove one of each")
    return files


def last_part(name: str) -> str:
    """A name without the folders before it."""
    return name.rpartition("/")[2]


def match(
    images: Mapping[str, Path],
    masks: Mapping[str, Path],
    names: Iterable[str],
    where: str,
    named: Callable[[str], str] = last_part,
) -> list[Pair]:
    """Pair images and masks by name.

    Args:
        images: Image files by name.
        masks: Mask files by name.
        names: Which to pair, in this order; keys of the two.
        where: What is being read, for messages: ``"CamVid train (/data/CamVid)"``.
        named: What a pair is called.

    Raises:
        DataError: An image has no mask, a mask has no image, or a name has neither; all are listed, up to ten.
    """
    pairs = []
    problems = []
    for name in names:
        image, mask = images.get(name), masks.get(name)
        if image is not None and mask is not None:
            pairs.append(Pair(named(name), image, mask))
        elif image is not None:
            problems.append(f"image without mask: {image}")
        elif mask is not None:
            problems.append(f"mask without image: {mask}")
        else:
            problems.append(f"neither image nor mask: {name}")
    fail_if(problems, f"{where} is incomplete; add the missing files or remove the single ones")
    return pairs


def check_headers(pairs: Collection[Pair], channels: int = RGB) -> tuple[Tagged, ...]:
    """Read the header of every file: find non-images and unequal sizes before the first step, without decoding.

    An image may have the mask's size as it is stored, or as its orientation tag turns it. Masks that are no image files
    by their suffix are left out. Whoever collects problems reads every file anyway: then none is reported.

    Args:
        pairs: The files.
        channels: Of the images.

    Returns:
        The images that have an orientation tag.

    Raises:
        DataError: Listing what is wrong, up to ten files.
    """
    with ThreadPoolExecutor(8) as pool:  # hides the latency of network file systems
        found = list(pool.map(partial(_header, channels=channels), pairs))
    if not collecting():
        fail_if(
            [problem for problem in found if isinstance(problem, str)],
            "Files that cannot be used; fetch them again or replace one of each pair (they are never resized)",
        )
    return tuple(tagged for tagged in found if isinstance(tagged, Tagged))


def header_sizes(pairs: Collection[Pair], channels: int = RGB) -> set[tuple[int, int]]:
    """Heights and widths of the pairs: those of the masks, where they are image files.

    Args:
        pairs: The files.
        channels: Of the images.

    Raises:
        DataError: If a file cannot be opened.
    """
    with ThreadPoolExecutor(8) as pool:
        return {(height, width) for width, height in pool.map(partial(_shown_size, channels=channels), pairs)}


def _shown_size(pair: Pair, channels: int) -> tuple[int, int]:
    if pair.mask is not None and is_image(pair.mask):
        return image_size(pair.mask)
    return _image_header(pair.image, channels).shown


def _image_header(image: Path, channels: int) -> Header:
    if is_array(image, channels):
        return Header(array_size(image, channels), 1)
    with opened(image) as file:
        return header(file, image)


def _header(pair: Pair, channels: int) -> Tagged | str | None:
    """The image, if it has an orientation tag, or what is wrong with the pair."""
    try:
        head = _image_header(pair.image, channels)
        if pair.mask is None or not is_image(pair.mask):
            return None
        with opened(pair.mask) as file:
            check_mask_file(file, pair.mask)
            mask = header(file, pair.mask).shown
    except DataError as error:
        return str(error)
    if mask in head.sizes("auto"):
        return Tagged(pair.image, head, mask) if head.tag != 1 else None
    also = f" ({text(head.shown)} turned as its orientation tag says)" if head.shown != head.stored else ""
    return f"different sizes (width x height): {pair.image} is {text(head.stored)}{also}, {pair.mask} is {text(mask)}"
