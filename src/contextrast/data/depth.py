"""Images of more than 8 bits a channel: their values as the file has them, and which range of these is seen."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL.ImageFile import ImageFile
from PIL.TiffImagePlugin import TiffImageFile

from contextrast.data.formats import bits, is_float, largest
from contextrast.errors import ConfigError, DataError

Range = tuple[float, float] | tuple[tuple[float, float], ...]
"""The value that becomes 0 and the one that becomes 255; of all channels, or a pair for each."""

_SETTING: Final = "image_range"
_GREY: Final = ("I", "F")  # what pillow's modes of one deep channel begin with; it keeps their values
_COLOR: Final = ("RGB", "RGBA", "RGBX", "LA")  # of which it keeps 8 bits
_PHOTOMETRIC: Final = 262  # tag of TIFF
_WHITE_IS_ZERO: Final = 0


def checked_range(value: object, channels: int = 3) -> Range | None:
    """An image range that a user or a file gives; None for none.

    Args:
        value: Two numbers, or as many pairs as there are channels.
        channels: Of the images.

    Raises:
        ConfigError: It is neither, or numbers do not ascend.
    """
    if value is None:
        return None
    items = _items(value)
    pairs = [_items(item) for item in items] if items and all(map(_items, items)) else [items]
    if len(pairs) not in (1, channels) or not all(map(_ascends, pairs)):
        raise ConfigError(
            f"{_SETTING}={value} has to be two numbers that ascend, the value that is black and the one that is white, "
            f"such as [0,4095] for images of 12 bits, or a pair for each of {channels} channel(s); null takes images "
            "of 8 bits a channel alone."
        )
    ranges = tuple((float(least), float(most)) for least, most in pairs)
    return ranges[0] if len(ranges) == 1 else ranges


def is_deep(file: ImageFile, path: Path) -> bool:
    """Whether a file has more than 8 bits a channel; asked before it is decoded, which may change its mode."""
    return bits(file, path) > 8 or is_float(file) or file.mode.startswith(_GREY)


def refuse_deep(file: ImageFile, path: Path) -> None:
    """Refuse what pillow would clip, or cut to its upper bits, silently.

    Raises:
        DataError: The file has more than 8 bits a channel.
    """
    if is_deep(file, path):
        raise no_range(path, _kind(file, path), f"magick {path.name} -level 0,4095 -depth 8 {path.stem}_8.png")


def no_range(path: Path, kind: str, conversion: str = "to uint8") -> DataError:
    """The error for a file of more than 8 bits a channel where no range is given.

    Args:
        path: The file.
        kind: What it has.
        conversion: How it is brought to 8 bits.
    """
    return DataError(
        f"{path} is not an image of 8 bits a channel: it has {kind}. Which range of them is seen is "
        f"yours to say: {_SETTING}=[0,4095] for 12 bits (data=folder: data.dataset.{_SETTING}), or convert it: "
        f"{conversion}"
    )


def in_range(values: NDArray[Any], seen: Range, path: Path) -> NDArray[np.uint8]:
    """Bring values of any type to 0..255: linearly, and what lies outside of the range to its ends.

    Args:
        values: ``[H, W]`` or ``[H, W, C]``.
        seen: The range; with one for each channel, grey becomes three channels.
        path: Where they are from.

    Raises:
        DataError: Some are no numbers, or all have 8 bits where the range reaches beyond them.
    """
    least, most = np.array(seen).T
    if values.dtype == np.uint8 and (most > 255).any():
        raise DataError(
            f"{path} has 8 bits a channel, which {_SETTING}={_text(seen)} would make nearly black. Take images "
            f"of one depth, or set {_SETTING}=[0,255] for these."
        )
    if values.ndim == 2 and least.ndim:
        values = values[..., None]
    scaled = (values.astype(np.float32) - least.astype(np.float32)) * (255 / (most - least)).astype(np.float32)
    if values.dtype.kind == "f" and np.isnan(scaled).any():
        raise DataError(f"{path} has values that are no numbers (NaN). Write what is to be seen in their place.")
    seen_values: NDArray[np.uint8] = np.rint(scaled.clip(0, 255)).astype(np.uint8)
    return seen_values


def deep_values(file: ImageFile, path: Path) -> NDArray[Any]:
    """The values of a file of more than 8 bits a channel.

    Those of a TIFF are turned as its orientation tag says, any other as they are stored: so do both decoders.

    Returns:
        ``[H, W]`` for grey or ``[H, W, 3]``, of the file's type; transparency is dropped.

    Raises:
        DataError: It is of a kind that is not read.
    """
    grey, jpeg_2000 = file.mode.startswith(_GREY), file.format == "JPEG2000"
    if not grey and (file.mode not in _COLOR or (jpeg_2000 and bits(file, path) != 16)):
        raise DataError(
            f"{path} has {_kind(file, path)} in a form that is not read ({file.format}, {file.mode}). Convert it: "
            f"magick {path.name} -depth 16 {path.stem}.png"
        )
    size, most = file.size, largest(file)
    file.load()  # also for OpenCV, which passes over what is missing at the end of some files
    if grey:
        return _grey_values(file, path, most)
    decoded: Any = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    if decoded is None or decoded.ndim not in (2, 3) or decoded.shape[1::-1] != size:
        raise ValueError("OpenCV reads no picture of its size")
    if decoded.ndim == 2:
        return np.asarray(decoded)
    return np.asarray(decoded[..., 2::-1])  # from blue, green, red


def _grey_values(file: ImageFile, path: Path, most: int) -> NDArray[Any]:
    """The values of a file of one channel, which pillow scales in some formats."""
    values: NDArray[Any] = np.asarray(file)
    if file.format == "PPM" and file.mode != "F":
        return np.rint(values * (most / 65535)).astype(np.uint16)
    if file.format == "JPEG2000":
        return values >> (16 - bits(file, path))
    if isinstance(file, TiffImageFile) and file.tag_v2.get(_PHOTOMETRIC) == _WHITE_IS_ZERO and not is_float(file):
        return (1 << bits(file, path)) - 1 - values.astype(np.int64)
    return values


def _kind(file: ImageFile, path: Path) -> str:
    return "floating-point numbers" if is_float(file) else f"{bits(file, path)} bits"


def _text(seen: Any) -> str:
    return "[" + ",".join(_text(one) if isinstance(one, tuple) else f"{one:g}" for one in seen) + "]"


def _items(value: object) -> list[Any]:
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else []


def _ascends(pair: list[Any]) -> bool:
    return len(pair) == 2 and all(map(_is_number, pair)) and bool(pair[0] < pair[1])


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e15
