"""Finding image and mask files that belong together, with everything wrong said at once."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from contextrast.data.decoding import image_size, opened, turned_size
from contextrast.data.images import images_of, is_image
from contextrast.errors import ConfigError, DataError

_SHOWN: Final = 10
_collected: ContextVar[list[str] | None] = ContextVar("collected_problems", default=None)


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


def image_files(folder: Path) -> dict[str, Path]:
    """List the image files of a folder (not of folders inside), sorted by name.

    Returns:
        Path by file name without suffix; empty where there is no such folder.

    Raises:
        DataError: Two files differ in their suffix only, or the folder cannot be looked into.
    """
    files: dict[str, Path] = {}
    clashes = []
    for path in images_of(folder):
        if path.stem in files:
            clashes.append(f"{files[path.stem].name} and {path.name}")
        files[path.stem] = path
    fail_if(clashes, f"{folder} has files that differ in their suffix only; remove one of each")
    return files


def match(images: Mapping[str, Path], masks: Mapping[str, Path], names: Iterable[str], where: str) -> list[Pair]:
    """Pair images and masks by name.

    Args:
        images: Image files by name.
        masks: Mask files by name.
        names: Which to pair, in this order; keys of the two. Folders before a ``/`` do not enter the pair's name.
        where: What is being read, for messages: ``"CamVid train (/data/CamVid)"``.

    Raises:
        DataError: An image has no mask, a mask has no image, or a name has neither; all are listed, up to ten.
    """
    pairs = []
    problems = []
    for name in names:
        image, mask = images.get(name), masks.get(name)
        if image is not None and mask is not None:
            pairs.append(Pair(name.rpartition("/")[2], image, mask))
        elif image is not None:
            problems.append(f"image without mask: {image}")
        elif mask is not None:
            problems.append(f"mask without image: {mask}")
        else:
            problems.append(f"neither image nor mask: {name}")
    fail_if(problems, f"{where} is incomplete; add the missing files or remove the single ones")
    return pairs


def check_headers(pairs: Collection[Pair]) -> None:
    """Read the header of every file: find non-images and unequal sizes before the first step, without decoding.

    An image may have the mask's size as it is stored, or turned as its EXIF tag says, see `decode_image`. Masks that
    are no image files by their suffix are left out.

    Raises:
        DataError: Listing what is wrong, up to ten files.
    """
    if collecting():
        return
    with ThreadPoolExecutor(8) as pool:  # hides the latency of network file systems
        problems = [problem for problem in pool.map(_header_problem, pairs) if problem]
    fail_if(
        problems, "Files that cannot be used; fetch them again or replace one of each pair (they are never resized)"
    )


def header_sizes(pairs: Collection[Pair]) -> set[tuple[int, int]]:
    """Heights and widths of the pairs: those of the masks, where they are image files.

    Raises:
        DataError: If a file cannot be opened.
    """
    files = [pair.image if pair.mask is None or not is_image(pair.mask) else pair.mask for pair in pairs]
    with ThreadPoolExecutor(8) as pool:
        return {(height, width) for width, height in pool.map(image_size, files)}


@contextmanager
def collected_problems() -> Iterator[list[str]]:
    """Inside it `fail_if` adds problems to a list instead of raising, so that a checker can say all of them.

    Headers are not looked at: who collects reads every file anyway.
    """
    problems: list[str] = []
    token = _collected.set(problems)
    try:
        yield problems
    finally:
        _collected.reset(token)


def collecting() -> bool:
    """Whether this runs inside `collected_problems`."""
    return _collected.get() is not None


def fail_if(problems: Collection[str], message: str) -> None:
    """Raise a `DataError` that lists the problems, up to ten, if there are any."""
    collected = _collected.get()
    if collected is not None:
        collected.extend(f"{message}: {problem}" for problem in problems)
    elif problems:
        lines = [f"  {problem}" for problem in list(problems)[:_SHOWN]]
        if len(problems) > _SHOWN:
            lines.append(f"  ... and {len(problems) - _SHOWN} more")
        raise DataError("\n".join([f"{message}:", *lines]))


def _header_problem(pair: Pair) -> str | None:
    try:
        with opened(pair.image) as file:
            size = file.size
            if pair.mask is None or not is_image(pair.mask):
                return None
            mask_size = image_size(pair.mask)
            turned = turned_size(file) if size != mask_size else None
    except DataError as error:
        return str(error)
    if mask_size in (size, turned):
        return None
    also = f" ({_text(turned)} turned as its EXIF tag says)" if turned else ""
    return f"different sizes (width x height): {pair.image} is {_text(size)}{also}, {pair.mask} is {_text(mask_size)}"


def _text(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
