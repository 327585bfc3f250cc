"""Noise fields: clouds, blotches, grain and sensor noise, drawn once a process and cut from by every scene."""

from functools import lru_cache
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from contextrast.data.streets.canvas import Pixels
from contextrast.data.streets.chance import Chance

Bytes = NDArray[np.uint8]
Scalar = TypeVar("Scalar", bound=np.generic)

FIELD: Final = 512
"""Height and width of the fields, a power of two; they tile."""


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
    return tuple(_grey((np.clip(smooth, -128, 127) * amplitude) >> 7) for amplitude in (3, 5, 7, 10))


@lru_cache(maxsize=1)
def sensor_noise() -> NDArray[np.int16]:
    """Noise of a camera in 32nds: standard deviation close to 32, never beyond 128 ``[FIELD, FIELD]``."""
    draws = Chance(4).bytes(4, FIELD, FIELD).astype(np.int16)
    total: NDArray[np.int16] = (draws[0] + draws[1] + draws[2] + draws[3] - 510) >> 2
    return total


def window(field: NDArray[Scalar], height: int, width: int, chance: Chance) -> NDArray[Scalar]:
    """Cut a piece of a tiling field at a random place.

    Returns:
        A view, or a copy where the field is too small, ``[height, width]``.
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
    total -= total.min()
    field: Bytes = (total * (255 / total.max())).astype(np.uint8)
    return field


def _grey(values: NDArray[np.int16]) -> Pixels:
    bytes_of = values.astype(np.uint8)  # negative values wrap: adding them to a byte subtracts
    empty = np.zeros_like(bytes_of)
    return np.stack([bytes_of, bytes_of, bytes_of, empty], axis=-1).view("<u4")[..., 0]
