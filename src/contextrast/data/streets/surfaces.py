"""Surfaces of walls: house fronts, hedges and fences, drawn once a process into one atlas."""

from functools import lru_cache
from typing import Final

import numpy as np

from contextrast.data.streets.canvas import Color, Pixels, darker, hex_colors, mix, rgb, scale
from contextrast.data.streets.chance import Chance

TEXELS_PER_METRE: Final = 16
ROWS: Final = 256
COLUMNS: Final = 128
"""Size of a surface; it repeats along the street after ``COLUMNS / TEXELS_PER_METRE`` metres."""

FACADES: Final = range(32)
HEDGES: Final = range(32, 38)
FENCES: Final = range(38, 50)
SURFACES: Final = 50
"""Numbers of the surfaces in the atlas; ``SURFACES`` further on is the same surface in the shade."""

MATERIALS: Final = hex_colors("7c4838 96684e 563e34 b0a48c ceccc6 8e8e8c 6c6e70 bab078 8a96a2 4e5042")
"""Red, light and dark brick; sandstone; white render, as bright as an overcast sky; concrete, as grey as the road, and
darker; yellow render; blue-grey cladding; mossy stone, nearly as dark and green as a tree."""

LEAVES: Final = hex_colors("4a6230 344a28 2c3622 68703a 7a682e")
"""The last one in autumn, near to brick."""


@lru_cache(maxsize=1)
def atlas() -> Pixels:
    """All surfaces, bright and in the shade: colours without a label, row 0 at the ground.

    Returns:
        Words, 0 where the background shows ``[2 SURFACES, ROWS, COLUMNS]``.
    """
    fronts = [_facade(Chance(5, number), wall_color(number)) for number in FACADES]
    hedges = [_foliage(Chance(7, number), LEAVES[number % len(LEAVES)]) for number in HEDGES]
    kinds = (_railing, _railing, _boards, _railing, _boards, _low_wall)
    fences = [kinds[number % len(kinds)](Chance(6, number)) for number in range(len(FENCES))]
    bright = np.stack([*fronts, *hedges, *fences])
    return np.concatenate([bright, darker(bright)])


@lru_cache(maxsize=len(FACADES))
def wall_color(facade: int) -> Color:
    """The colour of a house's walls between its windows."""
    return scale(MATERIALS[facade % len(MATERIALS)], Chance(8, facade).uniform(0.8, 1.15))


def _flat(color: Color) -> Pixels:
    return np.full((ROWS, COLUMNS), rgb(color), dtype="<u4")


def _speckle(texture: Pixels, chance: Chance, strength: int) -> Pixels:
    """Add grey noise; cells of value 0 stay empty."""
    noise = ((chance.bytes(*texture.shape).astype(np.int16) - 128) * strength) >> 7
    spread = (texture.view(np.uint8).reshape(*texture.shape, 4).astype(np.int16) + noise[..., None]).clip(24, 231)
    spread[..., 3] = 0
    words: Pixels = np.where(texture == 0, texture, spread.astype(np.uint8).view("<u4")[..., 0])
    return words


def _facade(chance: Chance, base: Color) -> Pixels:
    texture = _flat(base)
    if chance.happens(0.5):  # courses of bricks or panels
        texture[:: chance.integer(3, 8)] = rgb(scale(base, chance.uniform(0.8, 0.95)))
    storey = chance.integer(42, 58)
    pitch = COLUMNS // chance.integer(3, 6)
    wide, high = int(pitch * chance.uniform(0.35, 0.7)), int(storey * chance.uniform(0.4, 0.65))
    frame = rgb(chance.pick(((215, 213, 208), (60, 58, 56), scale(base, 0.7))))
    glass = chance.pick(((38, 44, 54), (70, 82, 96), (150, 168, 186), (96, 88, 70)))
    for floor in range(storey, ROWS - high, storey):
        for left in range(pitch // 4, COLUMNS, pitch):
            texture[floor - 1 : floor + high + 1, left - 1 : left + wide + 1] = frame
            pane = scale(glass, chance.uniform(0.7, 1.2))
            texture[floor : floor + high, left : left + wide] = rgb(pane)
            texture[floor : floor + high, left + wide // 2] = frame
    _ground_floor(texture, chance, base, storey)
    texture[ROWS - 10 :] = rgb(scale(base, 0.6))
    return _speckle(texture, chance, chance.integer(6, 18))


def _ground_floor(texture: Pixels, chance: Chance, base: Color, storey: int) -> None:
    """Shop windows under a signboard, or doors; a signboard looks like a sign and is a building."""
    if chance.happens(0.5):
        board = chance.pick(
            ((150, 40, 40), (40, 70, 140), (40, 110, 70), (200, 170, 60), (60, 60, 66), (190, 190, 190))
        )
        texture[: storey - 12] = rgb((48, 46, 46))
        for left in range(0, COLUMNS, 32):
            shine = chance.uniform(0.6, 1.6)
            texture[6 : storey - 16, left + 3 : left + 29] = rgb(scale((72, 76, 82), shine))
        texture[storey - 14 : storey - 4] = rgb(board)
        for left in range(6, COLUMNS - 10, 11):
            texture[storey - 11 : storey - 7, left : left + chance.integer(2, 8)] = rgb((225, 222, 210))
        return
    for left in range(chance.integer(4, 20), COLUMNS - 16, 40):
        texture[: storey - 10, left : left + 14] = rgb(scale(base, chance.uniform(0.35, 0.8)))
        texture[14 : storey - 12, left + 20 : left + 34] = rgb((58, 64, 72))


def _foliage(chance: Chance, color: Color) -> Pixels:
    texture = _flat(color)
    spots = chance.bytes(ROWS, COLUMNS)
    texture[spots < 90] = rgb(scale(color, 0.6))
    texture[spots > 215] = rgb(scale(color, 1.35))
    return _speckle(texture, chance, 20)


def _railing(chance: Chance) -> Pixels:
    paint = chance.pick(((40, 42, 42), (62, 70, 64), (150, 150, 148), (186, 188, 186)))
    texture = np.zeros((ROWS, COLUMNS), dtype="<u4")
    texture[:, :: chance.integer(3, 6)] = rgb(paint)
    texture[:, ::32] = texture[:, 1::32] = rgb(scale(paint, 0.85))
    top = chance.integer(16, 24)
    texture[top - 2 : top] = texture[2:4] = rgb(paint)
    texture[top:] = texture[top - 1]  # whatever height a scene asks for ends in the rail
    return _speckle(texture, chance, 16)


def _boards(chance: Chance) -> Pixels:
    wood = mix((122, 88, 60), (128, 126, 120), chance.unit())
    texture = _flat(wood)
    texture[:, :: chance.integer(4, 7)] = rgb(scale(wood, 0.65))
    texture[:, ::32] = rgb(scale(wood, 0.5))
    return _speckle(texture, chance, 22)


def _low_wall(chance: Chance) -> Pixels:
    stone = scale(chance.pick(MATERIALS), chance.uniform(0.8, 1.1))
    texture = _flat(stone)
    texture[::4] = rgb(scale(stone, 0.8))
    texture[14:] = rgb(scale(stone, 1.2))
    return _speckle(texture, chance, 18)
