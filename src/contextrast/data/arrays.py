"""Images that are arrays of any number of channels: ``.npy``, and TIFF of other than three, as GeoTIFFs mostly are."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from contextrast.data.formats import refuse_bomb
from contextrast.errors import ContextrastError, DataError, UnreadableError, first_line
from contextrast.extras import from_extra

RGB: Final = 3
"""Channels of a picture; any other number is an array's."""

NUMPY: Final = ".npy"
_TIFF: Final = (".tif", ".tiff")
_ORIENTATION: Final = "Orientation"
_REDUCED_OR_MASK: Final = 0b101  # kinds of TIFF's pages: overviews of another page, and what is transparent in it


class Stored(NamedTuple):
    """What a file holds.

    Attributes:
        shape: Of its array.
        values: Reads it.
    """

    shape: tuple[int, ...]
    values: Callable[[], NDArray[Any]]


def is_array(path: Path, channels: int) -> bool:
    """Whether a file is read as an array, where images have so many channels."""
    return path.suffix.lower() in ((NUMPY,) if channels == RGB else (NUMPY, *_TIFF))


def array_size(path: Path, channels: int) -> tuple[int, int]:
    """Width and height of an array, from its header.

    Raises:
        DataError: As `read_array`.
    """
    with _opened(path) as stored:
        place = _channel_axis(stored.shape, channels, path)
        height, width = (side for axis, side in enumerate(stored.shape) if axis != place)
        return width, height


def read_array(path: Path, channels: int) -> NDArray[Any]:
    """The values of a file, of its own type.

    Args:
        path: ``.npy``, or a TIFF whose channels lie side by side, in planes or in pages.
        channels: How many it has to have: as the last or the first dimension; one may have none.

    Returns:
        ``[H, W, C]``.

    Raises:
        UnreadableError: It is truncated or of another format.
        DataError: It is missing, has another number of channels, holds no numbers, or is so large that it would fill
            the memory.
        ConfigError: A TIFF needs the extra ``multispectral``, which is not installed.
    """
    with _opened(path) as stored:
        place = _channel_axis(stored.shape, channels, path)
        values = stored.values()
        if values.dtype.kind not in "uif":
            raise DataError(f"{path} holds {values.dtype}. Write integers or floating-point numbers.")
        return values[..., None] if place is None else np.moveaxis(values, place, -1)


@contextmanager
def _opened(path: Path) -> Iterator[Stored]:
    try:
        if not path.is_file():  # a pipe would be waited for
            raise DataError(f"{path} does not exist, or is no regular file. Check the path, or fetch the file.")
        with _numpy(path) if path.suffix.lower() == NUMPY else _tiff(path) as stored:
            yield stored
    except ContextrastError:
        raise
    except Exception as error:  # a damaged file can make tifffile raise anything
        raise UnreadableError(
            f"{path} cannot be decoded ({first_line(error)}). It is truncated or of another format: fetch it again."
        ) from error


@contextmanager
def _numpy(path: Path) -> Iterator[Stored]:
    values = open_memmap(path, mode="r")  # which has no pickled objects
    yield Stored(values.shape, lambda: np.array(values))


@contextmanager
def _tiff(path: Path) -> Iterator[Stored]:
    tifffile: Any = from_extra("tifffile", "multispectral", f"{path}: a TIFF of other than three channels")
    with tifffile.TiffFile(path) as file:
        images = [one for one in file.series if not one.keyframe.subfiletype & _REDUCED_OR_MASK]
        if len(images) != 1:
            raise DataError(f"{path} has {len(images)} images. Write the one that is meant into a file of its own.")
        tag = images[0].keyframe.tags.get(_ORIENTATION)
        if tag is not None and tag.value != 1:
            raise DataError(
                f"{path} has the orientation tag {tag.value}, which is not heeded beside "
                "other than three channels. Turn its pixels, and leave the tag out."
            )
        yield Stored(images[0].shape, images[0].asarray)


def _channel_axis(shape: tuple[int, ...], channels: int, path: Path) -> int | None:
    """The dimension in which an array's channels lie; None where it is of one channel and has none."""
    if len(shape) == 2 and channels == 1:
        place = None
    elif len(shape) == 3 and channels in (shape[2], shape[0]):
        place = 2 if shape[2] == channels else 0
    else:
        raise DataError(
            f"{path} holds {'x'.join(map(str, shape))} numbers, and images have data.channels={channels}: "
            f"[H, W, {channels}] or [{channels}, H, W]. Set data.channels to what the files have, or convert this one."
        )
    refuse_bomb(int(np.prod(shape)) // channels, path)
    return place
