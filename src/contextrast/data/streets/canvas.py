"""The drawing surface: one 32-bit word a pixel holds colour and train id, so that a picture never leaves its mask."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from contextrast.data.labels import IGNORE_INDEX, LabelTable

Pixels = NDArray[np.uint32]
"""Little-endian words ``[H, W]``: red, green, blue, train id, from the lowest byte up."""

Color = tuple[float, float, float]
"""Red, green, blue, 0..255."""

ID: Final = {name: index for index, name in enumerate(LabelTable.load("camvid").classes)} | {"void": IGNORE_INDEX}
"""Train ids by the names of CamVid's classes, and by ``void``, what has no class."""

SEE_THROUGH: Final = 15
"""Sprite cell that takes its label but shows what is behind it: spokes, gaps between leaves."""

_COLOR_BITS = np.uint32(0x00FFFFFF)
_LOW, _HIGH = 20, 235  # texture is added to bytes without saturation, so flat colours keep this distance from 0 and 255


@dataclass(frozen=True, slots=True)
class Camera:
    """A pinhole camera above the road that looks along it. Metres: x to the right, y up from the ground, z away.

    Attributes:
        height: Image height, pixels.
        width: Image width, pixels.
        focal: Focal length, pixels.
        eye: Height above the ground, metres.
        horizon: Row of the horizon, pixels from the top.
        center: Column that all lines along the road run to, pixels from the left.
    """

    height: int
    width: int
    focal: float
    eye: float
    horizon: float
    center: float

    def column(self, x: float, z: float) -> float:
        """Image column of a point ``x`` metres to the right at distance ``z``."""
        return self.center + self.focal * x / z

    def row(self, y: float, z: float) -> float:
        """Image row of a point ``y`` metres above the ground at distance ``z``."""
        return self.horizon + self.focal * (self.eye - y) / z


def hex_colors(text: str) -> tuple[Color, ...]:
    """Colours from their hexadecimal notation, as in ``"7c4838 96684e"``."""
    return tuple((*bytes.fromhex(word),) for word in text.split())


def rgb(color: Color) -> int:
    """A colour as a word without a label, cut to a range to which texture can be added."""
    red, green, blue = color
    low, high = _LOW, _HIGH
    return min(max(int(red), low), high) | min(max(int(green), low), high) << 8 | min(max(int(blue), low), high) << 16


def pack(color: Color, label: str) -> int:
    """One pixel, of a class by its name, as a word."""
    return rgb(color) | ID[label] << 24


def pack_palette(parts: Sequence[Color], label: str) -> Pixels:
    """Words for a sprite's cells: cell value 1 shows ``parts[0]``, and so on; cell value 0 shows nothing."""
    empty = [0] * (SEE_THROUGH - len(parts) - 1)
    return np.array([0, *(pack(color, label) for color in parts), *empty, ID[label] << 24], dtype="<u4")


def mix(first: Color, second: Color, share: float) -> Color:
    """Blend two colours; ``share`` is the second one's part, 0..1."""
    keep = 1 - share
    (red, green, blue), (r, g, b) = first, second
    return red * keep + r * share, green * keep + g * share, blue * keep + b * share


def scale(color: Color, gain: float) -> Color:
    """Brighten or darken a colour."""
    return color[0] * gain, color[1] * gain, color[2] * gain


def darker(words: Pixels) -> Pixels:
    """Take three eighths of the light away and leave the labels."""
    color = words & np.uint32(0x00F8F8F8)  # the cut bits cannot run into the byte below
    darker: Pixels = words - (color >> np.uint32(2)) - (color >> np.uint32(3))
    return darker


def show(region: Pixels, texels: Pixels, where: NDArray[np.bool_], label: Pixels) -> None:
    """Paint texels with labels; texels of value 0 let the background's colour through.

    Args:
        region: Part of a canvas, changed in place ``[h, w]``.
        texels: Colours without a label ``[h, w]``.
        where: Pixels to paint ``[h, w]``.
        label: Train ids as words without a colour, one per column ``[w]``.
    """
    shown = np.where(texels == 0, region & _COLOR_BITS, texels)
    np.copyto(region, shown | label, where=where)


def paste(
    canvas: Pixels,
    sprite: NDArray[np.uint8],
    palette: Pixels,
    box: tuple[float, float, float, float],
    flip: bool = False,
) -> None:
    """Draw a sprite into a box by nearest-neighbour sampling.

    Args:
        canvas: Changed in place ``[H, W]``.
        sprite: Cell values 0..15 ``[h, w]``; 0 is transparent.
        palette: Words for the cell values, from `pack_palette` ``[16]``.
        box: Left, top, width, height in pixels; parts outside the canvas are cut off, small things keep one pixel.
        flip: Mirror left and right.
    """
    left, top = round(box[0]), round(box[1])
    wide = max(round(box[0] + box[2]) - left, 1)
    high = max(round(box[1] + box[3]) - top, 1)
    x_range = range(max(left, 0), min(left + wide, canvas.shape[1]))
    y_range = range(max(top, 0), min(top + high, canvas.shape[0]))
    if not x_range or not y_range:
        return
    rows, cols = sprite.shape
    row = (2 * (np.arange(y_range.start, y_range.stop) - top) + 1) * rows // (2 * high)
    col = (2 * (np.arange(x_range.start, x_range.stop) - left) + 1) * cols // (2 * wide)
    if flip:
        col = cols - 1 - col
    cells = sprite.take((row * cols)[:, None] + col)
    region = canvas[y_range.start : y_range.stop, x_range.start : x_range.stop]
    words = palette.take(cells)
    see_through = cells == SEE_THROUGH
    if see_through.any():
        words |= np.where(see_through, region & _COLOR_BITS, 0)
    np.copyto(region, words, where=cells != 0)
