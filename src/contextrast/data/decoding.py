"""Images from files to arrays of 8 bits: nothing is clipped, wrapped or scaled that no setting says."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from contextrast.data.arrays import RGB, is_array, read_array
from contextrast.data.depth import Range, deep_values, in_range, is_deep, no_range, refuse_deep
from contextrast.data.formats import header, opened
from contextrast.data.orientation import Orientation, turned
from contextrast.errors import DataError

Picture = NDArray[np.uint8]
"""Image ``[H, W, C]``, RGB where there are three channels, or mask of train ids ``[H, W]``, 0..255."""


def decode_image(
    path: Path,
    size: tuple[int, int] | None = None,
    orientation: Orientation = "auto",
    image_range: Range | None = None,
    channels: int = RGB,
) -> Picture:
    """Decode an image file. Grey, palette and CMYK files become RGB where there are three channels.

    Args:
        path: A raster format (PNG, JPEG, WebP, BMP, TIFF, PPM, GIF, JPEG 2000), one picture, or ``.npy``; of other than
            three channels ``.npy`` or TIFF, see `read_array`.
        size: Height and width of the image's mask, if it has one.
        orientation: What its orientation tag does, see `Orientation`.
        image_range: The values that become black and white; None where they are those of 8 bits a channel.
        channels: How many it shall have, C.

    Returns:
        uint8 ``[H, W, C]``.

    Raises:
        DataError: The file is missing, truncated, no image, has several pages or frames, or has more than 8 bits per
            channel where no range is given, or a range that is not its own, or other channels than three or these.
    """
    if is_array(path, channels):
        values = read_array(path, channels)
        if image_range is not None:
            return in_range(values, image_range, path)
        if values.dtype != np.uint8:
            raise no_range(path, str(values.dtype))
        return np.ascontiguousarray(values)
    if channels != RGB:
        raise DataError(
            f"{path} is no .npy or TIFF file, and images of other formats have three channels: they do not fit "
            f"data.channels={channels}."
        )
    with opened(path) as file:
        head = header(file, path)
        turn = head.turns(orientation, None if size is None else size[::-1])
        tiff = file.format == "TIFF"  # which is turned when it is decoded
        image: Image.Image = file
        if deep := image_range is not None and is_deep(file, path):
            image = Image.fromarray(in_range(deep_values(file, path), image_range, path))
        else:
            refuse_deep(file, path)
        if turn != tiff:
            file.load()
            image = turned(image, head.tag, back=tiff)
        pixels = np.asarray(image.convert("RGB"))
        return pixels if deep or image_range is None else in_range(pixels, image_range, path)
