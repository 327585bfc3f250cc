"""Walls along both sides of the street: house fronts and their gables, hedges, and fences."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from contextrast.data.streets import surfaces
from contextrast.data.streets.backdrop import Street
from contextrast.data.streets.canvas import ID, Camera, Pixels, mix, pack, scale, show
from contextrast.data.streets.chance import Chance

FAR: Final = 130.0  # metres; beyond it only the skyline is drawn
_PANEL = 5.0  # metres of a fence that are hidden or seen together


@dataclass(frozen=True, slots=True)
class Wall:
    """An upright wall that runs along the street. Metres.

    Attributes:
        side: -1 left, 1 right.
        across: Distance from the camera's line.
        start: Distance of the near end.
        length: Length along the street.
        height: Height.
        surface: Number in `surfaces.atlas`.
        label: Class.
    """

    side: int
    across: float
    start: float
    length: float
    height: float
    surface: int
    label: str


def paint_fronts(canvas: Pixels, camera: Camera, chance: Chance, street: Street) -> None:
    """Paint the houses, hedges and gaps along both sides."""
    for side, front in zip((-1, 1), street.fronts, strict=True):
        shade = surfaces.SURFACES if street.sunny == -side else 0
        open_country = chance.happens(0.25)
        common, start = chance.pick(surfaces.FACADES), chance.uniform(1.0, 6.0)
        walls = []
        while start < FAR:
            length = chance.uniform(5, 20) * (1 + start / 80)
            if not chance.happens(0.6 if open_country else 0.15):
                height = chance.uniform(4.5, 8) if open_country else chance.uniform(6, 15.5)
                facade = common if chance.happens(0.3) else chance.pick(surfaces.FACADES)
                walls.append(Wall(side, abs(front), start, length, height, facade + shade, "Building"))
            elif chance.happens(0.8):
                height, hedge = chance.uniform(0.8, 4.0), chance.pick(surfaces.HEDGES)
                walls.append(Wall(side, abs(front), start, length, height, hedge + shade, "Tree"))
            start += length
        for wall in reversed(walls):
            if wall.label == "Building":
                _paint_gable(canvas, camera, chance, street, wall)
        paint_walls(canvas, camera, walls)


def _paint_gable(canvas: Pixels, camera: Camera, chance: Chance, street: Street, wall: Wall) -> None:
    """Paint the end of a house that faces the camera; what stands nearer hides most of it."""
    reach = (wall.across, wall.across + chance.uniform(6, 12))
    left, right = sorted(round(camera.column(wall.side * x, wall.start)) for x in reach)
    top, bottom = round(camera.row(wall.height, wall.start)), round(camera.row(0, wall.start))
    gain = 0.6 if wall.surface >= surfaces.SURFACES else chance.uniform(0.75, 1.05)
    color = scale(surfaces.wall_color(wall.surface % surfaces.SURFACES), gain)
    word = pack(mix(color, street.haze, wall.start / (wall.start + 220)), wall.label)
    canvas[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)] = word


def paint_walls(canvas: Pixels, camera: Camera, walls: Sequence[Wall]) -> None:
    """Paint walls that do not hide each other, with their surfaces in perspective.

    A column of the image meets one wall at one distance, so all that differs between walls is a number per column.

    Args:
        canvas: Changed in place.
        camera: Where it is seen from.
        walls: What to paint.
    """
    left, right, (reach, height, texel, label) = _wall_of_column(camera, walls)
    if left >= right:
        return
    columns = np.abs(np.arange(left, right) + (0.5 - camera.center)).clip(0.5).astype(np.float32)
    metres = reach / columns  # of a pixel, at the wall's distance
    tops = np.float32(camera.horizon) - (height - np.float32(camera.eye)) / metres
    bottoms = np.float32(camera.horizon) + np.float32(camera.eye) / metres
    top, bottom = max(int(tops.min()), 0), min(int(bottoms.max()) + 1, camera.height)
    rows = np.arange(top, bottom, dtype=np.float32)[:, None]
    texels = metres * np.float32(surfaces.TEXELS_PER_METRE)
    up = (np.float32(camera.horizon - 0.5) - rows) * texels
    up += np.float32(camera.eye * surfaces.TEXELS_PER_METRE)
    index = up.clip(0, surfaces.ROWS - 1, out=up).astype(np.intp)
    index *= surfaces.COLUMNS
    index += texel + (texels * np.float32(camera.focal)).astype(np.intp) % surfaces.COLUMNS
    show(canvas[top:bottom, left:right], surfaces.atlas().take(index), (rows >= tops) & (rows < bottoms), label)


def _wall_of_column(
    camera: Camera, walls: Sequence[Wall]
) -> tuple[int, int, tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.intp], Pixels]]:
    """Look up the wall that each column of the image meets.

    Returns:
        First column with a wall; the one after the last; and for the columns between them the wall's distance from the
        camera's line, its height (0 without a wall), the first texel of its surface, and its train id as a word.
    """
    reach, height = np.ones(camera.width, dtype=np.float32), np.zeros(camera.width, dtype=np.float32)
    texel, label = np.zeros(camera.width, dtype=np.intp), np.zeros(camera.width, dtype="<u4")
    left, right = camera.width, 0
    for wall in walls:
        ends = (camera.column(wall.side * wall.across, z) for z in (wall.start, wall.start + wall.length))
        first, last = (min(max(round(end), 0), camera.width) for end in sorted(ends))
        if first < last:
            reach[first:last], height[first:last] = wall.across, wall.height
            texel[first:last], label[first:last] = wall.surface * surfaces.ROWS * surfaces.COLUMNS, ID[wall.label] << 24
            left, right = min(left, first), max(right, last)
    span = slice(left, right)
    return left, right, (reach[span], height[span], texel[span], label[span])


def fence_panels(
    canvas: Pixels, camera: Camera, chance: Chance, street: Street
) -> list[tuple[float, Callable[[], None]]]:
    """Draw a fence, railing or low wall, before the houses or along the kerb.

    Returns:
        Its panels as pairs of (distance, what paints it), so that what stands between them is hidden rightly.
    """
    index = chance.integer(0, 1)
    side, kerb, front = (-1, 1)[index], abs(street.kerbs[index]), abs(street.fronts[index])
    across = chance.pick((front - 0.15, kerb + 0.2))
    surface = chance.pick(surfaces.FENCES) + (surfaces.SURFACES if street.sunny == -side else 0)
    start, height = 1 / chance.uniform(1 / 40, 1 / 4), chance.uniform(0.9, 1.7)
    panels: list[tuple[float, Callable[[], None]]] = []
    for number in range(chance.integer(1, 4)):
        wall = Wall(side, across, start + _PANEL * number, _PANEL, height, surface, "Fence")
        panels.append((wall.start + _PANEL, partial(paint_walls, canvas, camera, (wall,))))
    return panels
