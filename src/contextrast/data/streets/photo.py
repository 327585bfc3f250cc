"""From the drawn scene to a photograph and its annotation: light, lens, sensor, and the unlabelled rim."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from contextrast.data.streets import fields
from contextrast.data.streets.canvas import ID, Pixels
from contextrast.data.streets.chance import Chance

Bytes = NDArray[np.uint8]

_RANK: Final[Bytes] = np.zeros(256, dtype=np.uint8)
_COMMON_TO_RARE: Final = (
    "Road", "Building", "Sky", "Tree", "Car", "Pavement", "SignSymbol", "Fence", "Pole", "Pedestrian", "Bicyclist",
)  # fmt: skip
_RANK[[ID[name] for name in _COMMON_TO_RARE]] = range(1, 12)


def photograph(canvas: Pixels, chance: Chance) -> Bytes:
    """Turn the drawn colours into a picture with light, blur and noise.

    Args:
        canvas: The drawn scene ``[H, W]``.
        chance: The scene's stream of draws.

    Returns:
        RGB ``[H, W, 3]``.
    """
    height, width = canvas.shape
    grain = np.ascontiguousarray(fields.window(chance.pick(fields.grains()), height, width, chance))
    words = (canvas.view(np.uint8) + grain.view(np.uint8)).view("<u4")
    for _ in range(chance.pick((1, 1, 2))):
        words = _soften(words)
    drawn = words.view(np.uint8).reshape(height, width, 4)
    exposure = chance.pick((0.55, 0.8, 0.95, 1.0, 1.1)) * chance.uniform(0.85, 1.15)
    bend, base, noisiness = chance.uniform(-0.35, 0.35), chance.integer(-12, 8), chance.integer(4, 32)
    glare = fields.window(fields.clouds(), height, width, chance).astype(np.int16)
    glare = (glare * chance.integer(0, 64) >> 8) + base
    picture = np.empty((height, width, 3), dtype=np.uint8)
    for channel in range(3):  # plane by plane in 16 bits, the fastest way through the processor
        gain = exposure * chance.uniform(0.93, 1.07) * 64
        value = drawn[..., channel].astype(np.int16)
        light = value * (int(gain * (1 + bend)) - (value * int(gain * bend) >> 8)) >> 6  # a parabola as tone curve
        light += glare
        light += fields.window(fields.sensor_noise(), height, width, chance) * noisiness >> 7
        light += chance.integer(-3, 3)
        picture[..., channel] = light.clip(0, 255, out=light)
    return picture


def annotate(canvas: Pixels, chance: Chance) -> Bytes:
    """Take the labels off the canvas and leave the rim unlabelled as a human annotator does: along most outlines.

    The rim is one pixel on the commoner class's side, so that a thin pole keeps its own pixels.

    Args:
        canvas: The drawn scene ``[H, W]``.
        chance: The scene's stream of draws.

    Returns:
        Train ids ``[H, W]``.
    """
    height, width = canvas.shape
    mask = (canvas >> np.uint32(24)).astype(np.uint8)
    rank = _RANK.take(mask)
    rim = np.zeros((height, width), dtype=np.bool_)
    rim[:, :-1] |= rank[:, :-1] < rank[:, 1:]
    rim[:, 1:] |= rank[:, 1:] < rank[:, :-1]
    rim[:-1] |= rank[:-1] < rank[1:]
    rim[1:] |= rank[1:] < rank[:-1]
    rim &= fields.window(fields.blotches(), height, width, chance) > chance.integer(60, 130)
    mask[rim] = ID["void"]
    edge = chance.integer(0, 2)  # the picture's own rim
    mask[:edge] = mask[height - edge :] = mask[:, :edge] = mask[:, width - edge :] = ID["void"]
    return mask


def _average(first: Pixels, second: Pixels) -> Pixels:
    """Average four bytes at once: what both share, and half of what they do not."""
    return (first & second) + (((first ^ second) & np.uint32(0xFEFEFEFE)) >> np.uint32(1))


def _soften(words: Pixels) -> Pixels:
    """Blur by the weights 1-2-1 both ways; the outermost pixels stay."""
    across = words.copy()
    across[:, 1:-1] = _average(_average(words[:, :-2], words[:, 2:]), words[:, 1:-1])
    both = across.copy()
    both[1:-1] = _average(_average(across[:-2], across[2:]), across[1:-1])
    return both
