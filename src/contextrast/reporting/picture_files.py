"""Pictures as files that are small enough to be kept after every validation, sent and put on a page."""

from io import BytesIO
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image

from contextrast.reporting.figures import Ids, Picture

LARGEST: Final = 300_000
"""Bytes that no file has more of."""

_QUALITIES: Final = (90, 80, 70, 60, 45)  # of JPEG; below, fewer pixels look better


def write_photo(path: Path, picture: Picture) -> None:
    """Write a picture with photographs in it, RGB ``[H, W, 3]``, as JPEG: as good, or as large, as fits."""
    image = Image.fromarray(picture)
    while True:
        for quality in _QUALITIES:
            # Colours at full resolution, as marks are one pixel wide.
            content = _encoded(image, "JPEG", quality=quality, subsampling=0)
            if len(content) <= LARGEST:
                path.write_bytes(content)
                return
        image = image.reduce(2)


def write_chart(path: Path, picture: Picture) -> None:
    """Write a drawing, RGB ``[H, W, 3]``, as PNG of 256 colours, and smaller where that is too large."""
    image = Image.fromarray(picture)
    while len(content := _encoded(image.quantize(256), "PNG", optimize=True)) > LARGEST:
        image = image.reduce(2)
    path.write_bytes(content)


def within(picture: Picture, side: int) -> Picture:
    """A picture ``[H, W, 3]`` scaled down, where it is larger, to a longest side in pixels."""
    image = Image.fromarray(picture)
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    return np.asarray(image)


def ids_within(ids: Ids, side: int) -> Ids:
    """Train ids ``[H, W]`` in the size that `within` gives a picture: each is one of those there were."""
    image = Image.fromarray(ids.astype(np.uint8))
    image.thumbnail((side, side), Image.Resampling.NEAREST, reducing_gap=None)
    return np.asarray(image)


def _encoded(image: Image.Image, form: str, **options: Any) -> bytes:
    with BytesIO() as file:
        image.save(file, form, **options)
        return file.getvalue()
