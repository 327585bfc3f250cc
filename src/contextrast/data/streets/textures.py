"""Surfaces: clouds, asphalt, facades, fences and hedges, drawn once a process and read from there by every scene."""

from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from contextrast.data.streets.canvas import Color, Pixels, mix, pack, scale
from contextrast.data.streets.chance import Chance

Bytes = NDArray[np.uint8]

TEXELS_PER_METRE: Final = 16
FACADE_ROWS: Final = 256
FENCE_ROWS: Final = 32
COLUMNS: Final = 128
"""Width of every wall texture; they repeat along the street after ``COLUMNS / TEXELS_PER_METRE`` metres."""

FIELD: Final = 512
"""Height and width of the noise fields; they tile."""

MATERIALS: Final[tuple[Color, ...]] = (
    (124, 72, 56),  # red brick
    (150, 104, 78),  # light brick
    (86, 62, 52),  # dark brick
    (176, 164, 140),  # sandstone
    (206, 204, 198),  # white render, as bright as an overcast sky
    (142, 142, 140),  # concrete, as grey as the road
    (108, 110, 112),  # dark concrete
    (186, 176, 120),  # yellow render
    (138, 150, 162),  # blue-grey cladding
    (80, 86, 66),  # mossy stone, as dark and green as a tree
)
LEAVES: Final[tuple[Color, ...]] = (
    (74, 98, 48),
    (52, 74, 40),
    (44, 54, 34),
    (104, 112, 58),
    (116, 92, 52),
    (84, 70, 54),
)


@lru_cache(maxsize=1)
def clouds() -> Bytes:
    """Soft noise over many octaves, full range ``[FIELD, FIELD]``."""
    return _fractal(Chance(1), coarsest=4, octaves=6)


@lru_cache(maxsize=1)
def blotches() -> Bytes:
    """Patches of the size of a fortieth of the field, full range ``[FIELD, FIELD]``."""
    return _fractal(Chance(2), coarsest=40, octaves=2)


@lru_cache(maxsize=1)
def grains() -> tuple[Pixels, ...]:
    """Grey speckle to add to canvas words without carry between bytes, faint to strong, each ``[FIELD, FIELD]``."""
    raw = Chance(3).bytes(FIELD, FIELD).astype(np.int16) - 128
    smooth = (raw + np.roll(raw, 1, 0) + np.roll(raw, 1, 1) + np.roll(raw, (1, 1), (0, 1))) >> 1
    return tuple(_grey((np.clip(smooth, -128, 127) * amplitude) >> 7) for amplitude in (5, 9, 14, 19))


@lru_cache(maxsize=1)
def sensor_noise() -> tuple[NDArray[np.int16], ...]:
    """Coloured noise of a camera, faint to strong, each ``[FIELD, FIELD, 3]``."""
    draws = Chance(4).bytes(4, FIELD, FIELD, 3).astype(np.int16).sum(axis=0) - 510
    return tuple((draws * amplitude) >> 7 for amplitude in (2, 4, 6, 9))


@lru_cache(maxsize=1)
def facades() -> tuple[Pixels, ...]:
    """House fronts, row 0 at the ground, colours without a label, each ``[FACADE_ROWS, COLUMNS]``."""
    return tuple(_facade(Chance(5, number), MATERIALS[number % len(MATERIALS)]) for number in range(40))


@lru_cache(maxsize=1)
def fences() -> tuple[Pixels, ...]:
    """Railings (0 between the bars), boards and low walls, row 0 at the ground, each ``[FENCE_ROWS, COLUMNS]``."""
    draw = (_railing, _railing, _boards, _low_wall)
    return tuple(draw[number % len(draw)](Chance(6, number)) for number in range(16))


@lru_cache(maxsize=1)
def hedges() -> tuple[Pixels, ...]:
    """Leaves as a wall, each ``[FACADE_ROWS, COLUMNS]``."""
    return tuple(_foliage(Chance(7, number), LEAVES[number % len(LEAVES)]) for number in range(6))


def window(field: NDArray[np.generic], height: int, width: int, chance: Chance) -> NDArray[np.generic]:
    """Cuts a piece of a tiling field at a random place.

    Returns:
        A view, or a copy where the field is too small, ``[height, width, ...]``.
    """
    top, left = chance.integer(0, FIELD - 1), chance.integer(0, FIELD - 1)
    if height > FIELD or width > FIELD:
        rows, cols = (top + np.arange(height)) % FIELD, (left + np.arange(width)) % FIELD
        return field[rows[:, None], cols]
    top, left = top % (FIELD - height + 1), left % (FIELD - width + 1)
    return field[top : top + height, left : left + width]


def _fractal(chance: Chance, coarsest: int, octaves: int) -> Bytes:
    total = np.zeros((FIELD, FIELD))
    for octave in range(octaves):
        cells = coarsest << octave
        position = np.arange(FIELD) * cells / FIELD
        low = position.astype(np.int64)
        share = position - low
        high = (low + 1) % cells
        lattice = chance.bytes(cells, cells).astype(np.float64)
        rows = lattice[low] * (1 - share[:, None]) + lattice[high] * share[:, None]
        total += (rows[:, low] * (1 - share) + rows[:, high] * share) / (1 << octave)
    low_end, high_end = total.min(), total.max()
    return ((total - low_end) * (255 / (high_end - low_end))).astype(np.uint8)


def _grey(values: NDArray[np.int16]) -> Pixels:
    bytes_of = values.astype(np.uint8)  # negative values wrap: adding them to a byte subtracts
    empty = np.zeros_like(bytes_of)
    return np.stack([bytes_of, bytes_of, bytes_of, empty], axis=-1).view("<u4")[..., 0]


def _flat(rows: int, color: Color) -> Pixels:
    return np.full((rows, COLUMNS), pack(color, 0), dtype="<u4")


def _speckle(texture: Pixels, chance: Chance, strength: int) -> Pixels:
    """Adds grey noise; cells of value 0 stay empty."""
    noise = ((chance.bytes(*texture.shape).astype(np.int16) - 128) * strength) >> 7
    spread = (texture.view(np.uint8).reshape(*texture.shape, 4).astype(np.int16) + noise[..., None]).clip(12, 243)
    spread[..., 3] = 0
    return np.where(texture == 0, texture, spread.astype(np.uint8).view("<u4")[..., 0])


def _facade(chance: Chance, material: Color) -> Pixels:
    base = scale(material, chance.uniform(0.8, 1.15))
    texture = _flat(FACADE_ROWS, base)
    if chance.happens(0.5):  # courses of bricks or panels
        texture[:: chance.integer(3, 8)] = pack(scale(base, chance.uniform(0.8, 0.95)), 0)
    storey = chance.integer(42, 58)
    pitch = COLUMNS // chance.integer(3, 6)
    wide, high = int(pitch * chance.uniform(0.35, 0.7)), int(storey * chance.uniform(0.4, 0.65))
    frame = pack(chance.pick(((215, 213, 208), (60, 58, 56), scale(base, 0.7))), 0)
    glass = chance.pick(((38, 44, 54), (70, 82, 96), (150, 168, 186), (96, 88, 70)))
    for floor in range(storey, FACADE_ROWS - high, storey):
        for left in range(pitch // 4, COLUMNS, pitch):
            texture[floor - 1 : floor + high + 1, left - 1 : left + wide + 1] = frame
            pane = scale(glass, chance.uniform(0.7, 1.2))
            texture[floor : floor + high, left : left + wide] = pack(pane, 0)
            texture[floor : floor + high, left + wide // 2] = frame
    _ground_floor(texture, chance, base, storey)
    texture[FACADE_ROWS - 10 :] = pack(scale(base, 0.6), 0)
    return _speckle(texture, chance, chance.integer(8, 26))


def _ground_floor(texture: Pixels, chance: Chance, base: Color, storey: int) -> None:
    """Shop windows under a signboard, or doors; a signboard looks like a sign and is a building."""
    if chance.happens(0.5):
        board = chance.pick(((150, 40, 40), (40, 70, 140), (40, 110, 70), (200, 170, 60), (60, 60, 66), (190, 190, 190)))
        texture[: storey - 12] = pack((48, 46, 46), 0)
        for left in range(0, COLUMNS, 32):
            shine = chance.uniform(0.6, 1.6)
            texture[6 : storey - 16, left + 3 : left + 29] = pack(scale((72, 76, 82), shine), 0)
        texture[storey - 14 : storey - 4] = pack(board, 0)
        for left in range(6, COLUMNS - 10, 11):
            texture[storey - 11 : storey - 7, left : left + chance.integer(2, 8)] = pack((225, 222, 210), 0)
        return
    for left in range(chance.integer(4, 20), COLUMNS - 16, 40):
        texture[: storey - 10, left : left + 14] = pack(scale(base, chance.uniform(0.35, 0.8)), 0)
        texture[14 : storey - 12, left + 20 : left + 34] = pack((58, 64, 72), 0)


def _foliage(chance: Chance, color: Color) -> Pixels:
    texture = _flat(FACADE_ROWS, color)
    spots = chance.bytes(FACADE_ROWS, COLUMNS)
    texture[spots < 90] = pack(scale(color, 0.6), 0)
    texture[spots > 215] = pack(scale(color, 1.35), 0)
    return _speckle(texture, chance, 20)


def _railing(chance: Chance) -> Pixels:
    paint = chance.pick(((40, 42, 42), (62, 70, 64), (150, 150, 148), (186, 188, 186)))
    texture = np.zeros((FENCE_ROWS, COLUMNS), dtype="<u4")
    texture[:, :: chance.integer(3, 6)] = pack(paint, 0)
    texture[:, ::32] = texture[:, 1::32] = pack(scale(paint, 0.85), 0)
    top = chance.integer(16, 24)
    texture[top - 2 : top] = texture[2:4] = pack(paint, 0)
    texture[top:] = texture[top - 1]  # whatever height a scene asks for ends in the rail
    return _speckle(texture, chance, 16)


def _boards(chance: Chance) -> Pixels:
    wood = mix((122, 88, 60), (128, 126, 120), chance.unit())
    texture = _flat(FENCE_ROWS, wood)
    texture[:, :: chance.integer(4, 7)] = pack(scale(wood, 0.65), 0)
    texture[:, ::32] = pack(scale(wood, 0.5), 0)
    return _speckle(texture, chance, 22)


def _low_wall(chance: Chance) -> Pixels:
    stone = scale(chance.pick(MATERIALS), chance.uniform(0.8, 1.1))
    texture = _flat(FENCE_ROWS, stone)
    texture[::4] = pack(scale(stone, 0.8), 0)
    texture[14:] = pack(scale(stone, 1.2), 0)
    return _speckle(texture, chance, 18)
