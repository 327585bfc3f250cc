"""From files to arrays: images become RGB, masks keep their values, and nothing is clipped, wrapped or scaled."""

import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps
from PIL.ImageFile import ImageFile

from contextrast.data.labels import IGNORE_INDEX
from contextrast.errors import DataError, check_number

Picture = NDArray[np.uint8]
"""RGB image ``[H, W, 3]`` or mask of train ids ``[H, W]``, 0..255."""

Indices = NDArray[np.uint8] | NDArray[np.uint16]
"""A mask as its file has it, ``[H, W]``."""

Color = tuple[int, int, int]
"""RGB, 0..255 each."""

Value = TypeVar("Value")

MAX_CLASSES: Final = 254
"""Train ids fit into one byte beside the ignore index and a mark for what is unknown."""

MAX_VALUE: Final = 65535
"""Largest value of an index mask, which has up to 16 bits."""

_FORMATS: Final = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "PPM", "GIF", "JPEG2000")
"""What files are opened as. Pillow knows others, whatever the suffix: it has Ghostscript run an EPS file's program."""

_UNKNOWN: Final = 254
_STRETCH: Final = {"L;2": 85, "L;4": 17}  # pillow brings grey values of 2 and 4 bits to 0..255
_QUARTER_TURNS: Final = (5, 6, 7, 8)  # EXIF orientations that exchange width and height


def decode_image(path: Path, size: tuple[int, int] | None = None) -> Picture:
    """Decode an image file to RGB; grey, palette and CMYK files are converted.

    Args:
        path: A raster format (PNG, JPEG, WebP, BMP, TIFF, PPM, GIF, JPEG 2000), 8 bits per channel.
        size: Height and width of the image's mask, which decides about rotation: an image that has this size as it is
            stored stays so (also where the tag asks for half a turn, or the image is square); one that has it only
            when turned as its EXIF tag says is turned. Without a size, and where neither fits, it stays as stored.

    Returns:
        RGB uint8 ``[H, W, 3]``.

    Raises:
        DataError: The file is missing, truncated, no image, or has more than 8 bits per channel.
    """
    with opened(path) as file:
        if file.mode.startswith(("I", "F")):  # pillow would clip these silently
            raise DataError(f"{path} is not an image of 8 bits a channel; convert it to 8-bit RGB.")
        image: Image.Image = file
        if size is not None and file.size != size[::-1] and turned_size(file) == size[::-1]:
            image = ImageOps.exif_transpose(file)
        return np.asarray(image.convert("RGB"))


def decode_indices(path: Path) -> Indices:
    """Decode a mask of one value per pixel: grey of up to 16 bits, or a palette file, whose colours are not looked at.

    Returns:
        The file's values, uint8 or uint16 ``[H, W]``.

    Raises:
        DataError: The file is missing, truncated, no image, has several channels, or values outside 0..65535.
    """
    with opened(path) as file:
        rawmode = str(file.tile[0].args) if file.tile else ""
        values: NDArray[Any] = np.asarray(file)
    if values.ndim != 2 or values.dtype.kind not in "bui":
        raise DataError(
            f"{path} is not an index mask (one channel of whole numbers): it decodes to {values.shape} {values.dtype}. "
            "Write the number of its class for each pixel; masks in colours are read by data=folder."
        )
    if values.dtype.kind == "b":
        return values.astype(np.uint8)
    if values.dtype == np.uint8:
        return values // np.uint8(_STRETCH[rawmode]) if rawmode in _STRETCH else values
    if values.min() < 0 or values.max() > MAX_VALUE:
        raise DataError(f"{path} has values from {values.min()} to {values.max()}; masks have 0 to {MAX_VALUE}.")
    return values.astype(np.uint16)


def decode_mask(path: Path) -> Picture:
    """Decode a mask whose values are train ids or the ignore index already.

    Returns:
        The file's values, uint8 ``[H, W]``.

    Raises:
        DataError: As `decode_indices`, or a value above 255.
    """
    values = decode_indices(path)
    if values.max() > IGNORE_INDEX:
        raise DataError(
            f"{path} has values up to {values.max()}, but classes are 0..{MAX_CLASSES - 1} and {IGNORE_INDEX} is "
            "ignored. Check that it is a mask of classes, not of instances."
        )
    return values.astype(np.uint8)


class ValueMap:
    """Turns the values of index masks into train ids; a value it does not know is an error, never a guess.

    Args:
        train_ids: Train id, or the ignore index, for every value (0..65535) that a mask may have.
        expected: What a mask should look like, for messages: ``"Masks of toy have 0 (void) and 1..9."``

    Attributes:
        values: A value for each class, in the order of train ids: the first that was given for it.
    """

    def __init__(self, train_ids: Mapping[int, int], expected: str) -> None:
        self.expected = expected
        self.values = _of_classes(train_ids)
        self._train_ids: Picture = np.full(MAX_VALUE + 1, _UNKNOWN, dtype=np.uint8)
        self._train_ids[list(train_ids)] = list(train_ids.values())

    def __call__(self, path: Path) -> Picture:
        """Decode a mask file to train ids, uint8 ``[H, W]``.

        Raises:
            DataError: As `decode_indices`, or an unknown value.
        """
        return self.map(decode_indices(path), path)

    def map(self, values: Indices, path: Path) -> Picture:
        """Map values ``[H, W]`` that were read from a file to train ids, uint8 ``[H, W]``.

        Raises:
            DataError: An unknown value; the message names the file and the values as the file has them.
        """
        mask: Picture = self._train_ids[values]
        unknown = mask == _UNKNOWN
        if unknown.any():
            found = np.unique(values[unknown]).tolist()
            listed = ", ".join(map(str, found[:10])) + (", ..." if len(found) > 10 else "")
            raise DataError(f"{path} has the value(s) {listed}. {self.expected}")
        return mask


class ColorMap:
    """Turns masks drawn in RGB colours into train ids.

    Args:
        train_ids: Train id, or the ignore index, by colour.
        expected: What a mask should look like, for messages.
        tolerance: Share of a mask's pixels that may have another colour, and are then ignored.

    Attributes:
        values: A colour for each class, in the order of train ids: the first that was given for it.
    """

    def __init__(self, train_ids: Mapping[Color, int], expected: str, tolerance: float = 0.0) -> None:
        self.expected = expected
        self.values = _of_classes(train_ids)
        self.tolerance = tolerance
        self._train_ids: Picture = np.full(1 << 24, _UNKNOWN, dtype=np.uint8)  # one entry an RGB colour
        self._train_ids[_packed(np.array(list(train_ids)))] = list(train_ids.values())

    def __call__(self, path: Path) -> Picture:
        """Decode a mask file to train ids, uint8 ``[H, W]``.

        Raises:
            DataError: The file cannot be decoded, or too many of its pixels have an unknown colour.
        """
        picture = decode_image(path)
        packed = _packed(picture)
        mask: Picture = self._train_ids[packed]
        unknown = mask == _UNKNOWN
        if unknown.mean() > self.tolerance:
            seen: NDArray[np.bool_] = np.zeros(1 << 24, dtype=np.bool_)  # sorting them would take minutes
            seen[packed[unknown]] = True
            colors = [[int(color) >> 16, int(color) >> 8 & 255, int(color) & 255] for color in np.flatnonzero(seen)[:6]]
            listed = ", ".join(map(str, colors[:5])) + (", ..." if len(colors) > 5 else "")
            raise DataError(
                f"{path} has colours of no class on {unknown.mean():.1%} of its pixels: {listed}. {self.expected}"
            )
        mask[unknown] = IGNORE_INDEX
        return mask


def _of_classes(train_ids: Mapping[Value, int]) -> tuple[Value, ...]:
    first: dict[int, Value] = {}
    for value, train_id in train_ids.items():
        first.setdefault(train_id, value)
    return tuple(first[train_id] for train_id in sorted(first) if train_id != IGNORE_INDEX)


def _packed(color: NDArray[Any]) -> NDArray[np.int32]:
    """Pack RGB ``[..., 3]`` into one number ``[...]``."""
    packed: NDArray[np.int32] = color.astype(np.int32) @ np.array([1 << 16, 1 << 8, 1], dtype=np.int32)
    return packed


def image_size(path: Path) -> tuple[int, int]:
    """Width and height of an image or mask file, from its header.

    Raises:
        DataError: The file is missing or no image.
    """
    with opened(path) as file:
        return file.size


def turned_size(file: Image.Image) -> tuple[int, int] | None:
    """Width and height of an opened image after the quarter turn that its EXIF tag asks for; ``None`` without one."""
    if file.getexif().get(ExifTags.Base.Orientation) not in _QUARTER_TURNS:
        return None
    width, height = file.size
    return height, width


@contextmanager
def opened(path: Path) -> Iterator[ImageFile]:
    """Open an image file; what goes wrong inside the ``with`` is said with its path.

    Raises:
        DataError: The file is missing, truncated, no image, or its header promises too many pixels.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe would be waited for, a device read without end
            raise DataError(f"{path} is no regular file. Leave it out, or write the image into a file.")
        with Image.open(path, formats=_FORMATS) as file:
            _refuse_bomb(file.width * file.height)
            yield file
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist. Check the path, or fetch the file.") from error
    except Image.DecompressionBombError as error:
        raise DataError(
            f"{path} is not opened, as it would fill the memory: {error} If it is genuine, cut it into pieces; "
            "contextrast-predict takes it with max_megapixels=N."
        ) from error
    except (OSError, SyntaxError, ValueError) as error:
        # pillow reports a damaged PNG as a SyntaxError
        raise DataError(f"{path} cannot be decoded ({error}). It is truncated or no image: fetch it again.") from error


@contextmanager
def images_up_to(megapixels: float | None) -> Iterator[None]:
    """Inside the ``with``, open images of up to so many millions of pixels; None leaves Pillow's limit, 89.

    Raises:
        ConfigError: If it is no number above 0.
    """
    if megapixels is not None:
        check_number("max_megapixels", megapixels, above=True)
    limit = Image.MAX_IMAGE_PIXELS
    # Pillow has no argument for it.
    Image.MAX_IMAGE_PIXELS = limit if megapixels is None else int(megapixels * 1e6)
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = limit  # as others expect it


def _refuse_bomb(pixels: int) -> None:
    """Refuse what pillow only warns of: images between its limit and twice as much take seconds and a gigabyte."""
    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and pixels > limit:
        raise Image.DecompressionBombError(f"Its header promises {pixels} pixels, the limit is {limit}.")
