"""Shapes of things: small grids of cell values, drawn once a process, coloured anew each time they are pasted."""

from collections.abc import Callable
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from contextrast.data.streets import fields
from contextrast.data.streets.canvas import SEE_THROUGH
from contextrast.data.streets.chance import Chance

Sprite = NDArray[np.uint8]
"""Cell values ``[h, w]``: 0 transparent, 1..14 parts of the thing, `SEE_THROUGH`."""


class Stencil:
    """Draws simple shapes into a sprite. Coordinates are metres: x from the left, y up from the lower edge.

    Args:
        width: Width, metres.
        height: Height, metres.
        resolution: Cells per metre.
    """

    def __init__(self, width: float, height: float, resolution: int) -> None:
        rows, cols = round(height * resolution), round(width * resolution)
        self.cells: Sprite = np.zeros((rows, cols), dtype=np.uint8)
        self.x = (np.arange(cols)[None, :] + 0.5) / resolution
        self.y = (rows - np.arange(rows)[:, None] - 0.5) / resolution

    def ellipse(self, value: int, x: float, y: float, radius_x: float, radius_y: float) -> None:
        """Fill an ellipse."""
        inside = ((self.x - x) / radius_x) ** 2 + ((self.y - y) / radius_y) ** 2 <= 1
        self.cells[inside] = value

    def polygon(self, value: int, *points: tuple[float, float]) -> None:
        """Fill a polygon (even-odd rule)."""
        inside = np.zeros(self.cells.shape, dtype=np.bool_)
        for (x0, y0), (x1, y1) in zip(points, (*points[1:], points[0]), strict=True):
            if y0 != y1:
                crossing = x0 + (self.y - y0) * ((x1 - x0) / (y1 - y0))
                inside ^= ((self.y > y0) != (self.y > y1)) & (self.x < crossing)
        self.cells[inside] = value

    def box(self, value: int, left: float, bottom: float, right: float, top: float) -> None:
        """Fill a rectangle."""
        self.polygon(value, (left, bottom), (right, bottom), (right, top), (left, top))

    def bar(self, value: int, start: tuple[float, float], end: tuple[float, float], width: float) -> None:
        """Draw a thick line with round ends."""
        dx, dy = end[0] - start[0], end[1] - start[1]
        along = ((self.x - start[0]) * dx + (self.y - start[1]) * dy) / max(dx * dx + dy * dy, 1e-9)
        along = along.clip(0, 1)
        off = (self.x - start[0] - along * dx) ** 2 + (self.y - start[1] - along * dy) ** 2
        self.cells[off <= (width / 2) ** 2] = value


@cache
def sprites(kind: str) -> tuple[Sprite, ...]:
    """The shapes of a kind of thing, by its name in `KINDS`."""
    return tuple(draw(Chance(stream, number), number) for stream, count, draw in KINDS[kind] for number in range(count))


@cache
def cars() -> tuple[tuple[tuple[float, Sprite], ...], ...]:
    """Models of cars, each as pairs of (share of the width that the side takes, sprite), the side on the right."""
    sides = (0.0, 0.15, 0.3, 0.45, 0.6)
    return tuple(tuple((side, _car(Chance(13, number), side)) for side in sides) for number in range(8))


def _traffic_light(_: Chance, __: int) -> Sprite:
    """A box of 1 x 3. Cells: 1 case, 2 red, 3 amber, 4 green."""
    stencil = Stencil(1, 3, 16)
    stencil.box(1, 0, 0, 1, 3)
    for value, y in ((2, 2.45), (3, 1.5), (4, 0.55)):
        stencil.ellipse(value, 0.5, y, 0.34, 0.34)
    return stencil.cells


def _shadow(_: Chance, __: int) -> Sprite:
    """A dark spot on the ground. Cell: 1."""
    stencil = Stencil(2, 1, 32)
    stencil.ellipse(1, 1, 0.5, 1, 0.5)
    return stencil.cells


def _pedestrian(chance: Chance, _: int) -> Sprite:
    """Someone of 1.8 m in a box of 0.9 x 1.8 m. Cells: 1 skin, 2 hair, 3 coat, 4 legs, 5 shoes, 6 bag."""
    stencil = Stencil(0.9, 1.8, 64)
    middle, stride = 0.45, chance.uniform(0.0, 0.26)
    hip, shoulder = chance.uniform(0.8, 0.92), chance.uniform(1.38, 1.46)
    coat = chance.uniform(0.45, hip) if chance.happens(0.4) else hip - 0.06
    broad = chance.uniform(0.17, 0.25)
    for side in (-1, 1):
        knee = (middle + side * (stride * 0.5 + 0.06), hip / 2)
        foot = (middle + side * (stride + 0.05), 0.06)
        stencil.bar(4, (middle + side * 0.07, hip), knee, 0.17)
        stencil.bar(4, knee, foot, 0.13)
        stencil.bar(5, foot, (foot[0] + 0.09, 0.05), 0.1)
    sides = (middle - broad, shoulder), (middle + broad, shoulder)
    stencil.polygon(3, *sides, (middle + 0.2, coat), (middle - 0.2, coat))
    swing = chance.uniform(0.0, 0.16)
    for side in (-1, 1):
        elbow = (middle + side * (broad + swing * 0.6), 1.12)
        stencil.bar(3, (middle + side * (broad - 0.04), shoulder - 0.04), elbow, 0.12)
        stencil.bar(3, elbow, (middle + side * (broad + swing * 0.5) + swing, 0.86), 0.1)
    if chance.happens(0.4):
        stencil.ellipse(6, middle + chance.sign() * 0.24, chance.uniform(0.7, 1.2), 0.12, 0.18)
    stencil.ellipse(1, middle, 1.62, 0.1, 0.14)
    stencil.polygon(2, (middle - 0.11, 1.62), (middle - 0.09, 1.78), (middle + 0.09, 1.78), (middle + 0.07, 1.66))
    return stencil.cells


def _cyclist(chance: Chance, _: int) -> Sprite:
    """A rider seen from the side, foreshortened towards the view from behind, in a box of 1.8 x 1.8 m.

    Cells: 1 skin, 2 hair or helmet, 3 coat, 4 legs, 5 shoes, 7 tyre, 8 frame.
    """
    stencil = Stencil(1.8, 1.8, 64)
    squeeze = chance.pick((0.2, 0.35, 0.6, 0.85, 1.0))

    def at(x: float, y: float) -> tuple[float, float]:
        return 0.9 + x * squeeze, y

    for x in (-0.52, 0.52):
        stencil.ellipse(7, at(x, 0)[0], 0.34, 0.34 * squeeze + 0.03, 0.34)
        if squeeze > 0.3:
            stencil.ellipse(SEE_THROUGH, at(x, 0)[0], 0.34, 0.28 * squeeze - 0.02, 0.28)
    seat, bar, pedal = at(-0.2, 0.88), at(0.4, 0.98), at(0.0, 0.32)
    for start, end in ((at(-0.52, 0.34), seat), (seat, at(0.36, 0.8)), (pedal, at(0.36, 0.8)), (pedal, seat)):
        stencil.bar(8, start, end, 0.07)
    stencil.bar(8, at(0.52, 0.34), bar, 0.07)
    lean = chance.uniform(0.05, 0.4)
    shoulder = at(-0.15 + lean, chance.uniform(1.34, 1.42))
    for swap in (-1, 1):
        knee, foot = at(0.2 + 0.06 * swap, 0.66 + 0.12 * swap), at(0.04 + 0.1 * swap, 0.3 + 0.12 * swap)
        stencil.bar(4, (seat[0], seat[1] + 0.04), knee, 0.17)
        stencil.bar(4, knee, foot, 0.13)
        stencil.bar(5, foot, (foot[0] + 0.1 * squeeze, foot[1]), 0.1)
    broad = 0.2 + 0.16 * (1 - squeeze)
    stencil.bar(3, (seat[0], seat[1] + 0.08), shoulder, broad + 0.12)
    stencil.bar(3, shoulder, bar, 0.13)
    stencil.ellipse(1, shoulder[0] + 0.06 * squeeze, shoulder[1] + 0.23, 0.1, 0.13)
    stencil.ellipse(2, shoulder[0] + 0.03 * squeeze, shoulder[1] + 0.3, 0.12, 0.08)
    return stencil.cells


def _car(chance: Chance, side: float) -> Sprite:
    """An end of 1.75 m, and beside it as much side as ``side`` (share of the whole width) says.

    Cells: 1 body, 2 side of the body, 3 window, 4 side window, 5 tyre, 6 lamp, 7 plate, 8 shadow gap, 9 roof.
    """
    van = chance.happens(0.25)
    high = chance.uniform(1.9, 2.4) if van else chance.uniform(1.4, 1.65)
    end, strip = 1.75, 1.75 * side / (1 - side)
    stencil = Stencil(end + strip, high, 40)
    belt, slope = high * chance.uniform(0.52, 0.6), 0.05 if van else chance.uniform(0.12, 0.22)
    lift = 0.1 * side  # what is further away stands higher in the image
    far = end + strip
    stencil.polygon(8, (0.08, 0), (end - 0.08, 0), (far - 0.1, lift), (far - 0.1, 0.4), (0.08, 0.4))
    if strip:
        hood = far - strip * (0.1 if van else 0.24)
        stencil.polygon(2, (end, 0.2), (far, 0.2 + lift), (far, belt - 0.1), (hood, belt), (end, belt))
        stencil.polygon(2, (end - slope, high), (hood - strip * 0.18, high - 0.1), (hood, belt), (end, belt))
        glass = (end - slope + 0.06, high - 0.14), (hood - strip * 0.22, high - 0.22)
        stencil.polygon(4, *glass, (hood - strip * 0.06, belt + 0.04), (end + 0.05, belt + 0.04))
        for share in (0.2, 0.82):
            stencil.ellipse(5, end + strip * share, 0.3 + lift * share, 0.1 * strip + 0.03, 0.31)
    stencil.polygon(1, (0, 0.24), (end, 0.24), (end, belt), (end - slope, high), (slope, high), (0, belt))
    sill, lintel = belt + 0.04, high - 0.12
    stencil.polygon(3, (0.12, sill), (end - 0.12, sill), (end - slope - 0.08, lintel), (slope + 0.08, lintel))
    stencil.box(9, slope, high - 0.06, end - slope, high)
    for x in (0.04, end - 0.3):
        stencil.box(5, x, 0, x + 0.24, 0.3)
        stencil.box(6, x, belt - 0.26, x + 0.26, belt - 0.08)
    stencil.box(7, 0.62, 0.42, 1.13, 0.54)
    return stencil.cells


def _crown(chance: Chance, _: int) -> Sprite:
    """A tree's crown. Cells: 1..6 leaves from dark to bright, `SEE_THROUGH`."""
    stencil = Stencil(2, 2, 48)
    rough = fields.window(fields.clouds(), 96, 96, chance) / 255
    fine = fields.window(fields.blotches(), 96, 96, chance) / 255
    dust = chance.bytes(96, 96) / 255
    narrow = chance.uniform(1.0, 1.5)
    reach = ((stencil.x - 1) * narrow) ** 2 + (stencil.y - 1) ** 2
    inside = reach + rough * 0.5 + fine * 0.5 + dust * 0.15 < chance.uniform(0.95, 1.25)
    light = rough * 1.5 + fine * 1.5 + dust * 1.5 + (stencil.y - stencil.x * 0.3) * 0.9
    stencil.cells[inside] = light.clip(1, 6).astype(np.uint8)[inside]
    gap = chance.uniform(0.02, 0.16)
    stencil.cells[inside & (fine * 0.7 + dust * 0.3 < gap * (1 + reach))] = SEE_THROUGH
    return stencil.cells


def _bare_crown(chance: Chance, _: int) -> Sprite:
    """Branches before the sky: the gaps belong to the tree all the same. Cells: 7 branches, `SEE_THROUGH`."""
    stencil = Stencil(2, 2, 48)
    stencil.ellipse(SEE_THROUGH, 1, 1.05, chance.uniform(0.45, 0.65), chance.uniform(0.6, 0.8))
    tips = [(1.0, 0.0, 1.0, 0.7, 0.12)]
    for _ in range(5):
        grown = []
        for x0, y0, x1, y1, width in tips:
            stencil.bar(7, (x0, y0), (x1, y1), width)
            for _ in range(2):
                step = (x1 - x0) * 0.5 + chance.uniform(-0.3, 0.3), (y1 - y0) * 0.55 + chance.uniform(-0.05, 0.16)
                grown.append((x1, y1, x1 + step[0], y1 + step[1], width * 0.65))
        tips = grown
    return stencil.cells


def _sign(chance: Chance, number: int) -> Sprite:
    """A round, a triangular or a square one in a square box. Cells: 1 border, 2 face, 3 symbol."""
    stencil = Stencil(1, 1, 24)
    if number % 3 == 0:
        stencil.ellipse(1, 0.5, 0.5, 0.5, 0.5)
        stencil.ellipse(2, 0.5, 0.5, 0.36, 0.36)
    elif number % 3 == 1:
        stencil.polygon(1, (0, 0.04), (1, 0.04), (0.5, 0.96))
        stencil.polygon(2, (0.2, 0.16), (0.8, 0.16), (0.5, 0.7))
    else:
        stencil.box(1, 0, 0, 1, 1)
        stencil.box(2, 0.08, 0.08, 0.92, 0.92)
    if chance.happens(0.7):
        stencil.bar(3, (0.5, 0.3), (0.5 + chance.uniform(-0.15, 0.15), 0.62), 0.12)
    return stencil.cells


KINDS: Final[dict[str, tuple[tuple[int, int, Callable[[Chance, int], Sprite]], ...]]] = {
    "pedestrian": ((11, 24, _pedestrian),),
    "cyclist": ((12, 24, _cyclist),),
    "crown": ((14, 20, _crown), (15, 8, _bare_crown)),
    "sign": ((16, 18, _sign),),
    "traffic light": ((0, 1, _traffic_light),),
    "shadow": ((0, 1, _shadow),),
}
"""What is drawn for each kind: the stream of its draws, how many, and by what."""
