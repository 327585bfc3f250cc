"""Images from files to arrays: all become RGB, and nothing is clipped, wrapped or scaled that no setting says."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from contextrast.data.depth import Range, deep_values, in_range, is_deep, refuse_deep
from contextrast.data.formats import header, opened
from contextrast.data.orientation import Orientation, turned

Picture = NDArray[np.uint8]
"""RGB image ``[H, W, 3]`` or mask of train ids ``[H, W]``, 0..255."""


def decode_image(
    path: Path,
    size: tuple[int, int] | None = None,
    orientation: Orientation = "auto",
    image_range: Range | None = None,
) -> Picture:
    """Decode an image file to RGB; grey, palette and CMYK files are converted.

    Args:
        path: A raster format (PNG, JPEG, WebP, BMP, TIFF, PPM, GIF, JPEG 2000), one picture.
        size: Height and width of the image's mask, if it has one.
        orientation: What its orientation tag does, see `Orientation`.
        image_range: The values that become black and white; None where they are those of 8 bits a channel.

    Returns:
        RGB uint8 ``[H, W, 3]``.

    Raises:
        DataError: The file is missing, truncated, no image, has several pages or frames, or has more than 8 bits per
            channel where no range is given, or a range that is not its own.
    """
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
