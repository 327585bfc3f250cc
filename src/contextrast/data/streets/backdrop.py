"""What every scene stands on: the layout, sky, skyline, and the ground with its markings."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from contextrast.data.streets import fields
from contextrast.data.streets.canvas import Camera, Color, Pixels, darker, mix, pack, scale
from contextrast.data.streets.chance import Chance
from contextrast.data.streets.surfaces import LEAVES, MATERIALS

BINS_PER_METRE: Final = 48
BINS: Final = 2048  # 42 m across, the camera in the middle

_SKIES: Final[tuple[tuple[Color, Color], ...]] = (  # zenith, horizon
    ((104, 148, 206), (200, 216, 230)),
    ((150, 180, 214), (226, 230, 232)),
    ((214, 216, 220), (232, 232, 230)),
    ((120, 124, 132), (178, 180, 182)),
    ((150, 140, 150), (226, 200, 170)),
)


@dataclass(frozen=True, slots=True)
class Street:
    """Where things are in one scene. Metres, x to the right of the camera.

    Attributes:
        kerbs: Left and right edge of the road.
        fronts: Left and right line of the houses, where the pavement ends.
        sunny: Side the sun shines on, -1 left or 1 right, or 0 under clouds.
        haze: Colour that distant things fade to.
        asphalt: Colour of the road.
    """

    kerbs: tuple[float, float]
    fronts: tuple[float, float]
    sunny: int
    haze: Color
    asphalt: Color


def draw_street(chance: Chance, haze: Color) -> Street:
    """Draw a scene's layout."""
    left, right = -chance.uniform(1.6, 3.8), chance.uniform(2.2, 6.0)
    grey = chance.uniform(72, 128)
    return Street(
        kerbs=(left, right),
        fronts=(left - chance.uniform(1.4, 4.5), right + chance.uniform(1.4, 4.5)),
        sunny=chance.pick((-1, 0, 0, 1)),
        haze=haze,
        asphalt=(grey, grey * chance.uniform(0.96, 1.02), grey * chance.uniform(0.94, 1.08)),
    )


def paint_sky(canvas: Pixels, camera: Camera, chance: Chance) -> Color:
    """Paint a gradient with clouds down to the horizon.

    Returns:
        The colour at the horizon.
    """
    zenith, horizon = chance.pick(_SKIES)
    rows = min(int(camera.horizon) + 2, camera.height)
    cover = chance.uniform(0.0, 0.9)
    ramp = [mix(zenith, horizon, min(step / 20, 1.0)) for step in range(32)]
    ramp += [mix(horizon, (238, 238, 238), step / 32) for step in range(32)]
    words = np.array([pack(color, "Sky") for color in ramp], dtype="<u4")
    cloud = (fields.window(fields.clouds(), rows, camera.width, chance) * np.float32(cover / 4)).astype(np.int32)
    fall = (np.arange(rows) * 22 // rows)[:, None]
    canvas[:rows] = words.take(cloud + fall, mode="clip")
    return horizon


def paint_skyline(canvas: Pixels, camera: Camera, chance: Chance, haze: Color) -> None:
    """Paint distant houses and, before them, distant trees."""
    unit = camera.height / 256
    rows = np.arange(int(camera.horizon) + 2)[:, None]
    left, tops, words = 0, np.empty(camera.width, dtype=np.int64), np.empty(camera.width, dtype="<u4")
    while left < camera.width:
        right = left + max(int(chance.uniform(5, 28) * unit), 1)
        tops[left:right] = int(camera.horizon - chance.uniform(2, 26) * unit)
        color = scale(chance.pick(MATERIALS), chance.uniform(0.7, 1.0))
        words[left:right] = pack(mix(color, haze, chance.uniform(0.2, 0.6)), "Building")
        left = right
    region = canvas[: len(rows)]
    np.copyto(region, words[None], where=rows >= tops)
    if chance.happens(0.7):
        outline = fields.window(fields.clouds(), 1, camera.width, chance)[0].astype(np.int64)
        tops = (camera.horizon - (outline - chance.integer(70, 150)) * chance.uniform(0.1, 0.3) * unit).astype(np.int64)
        color = mix(chance.pick(LEAVES), haze, chance.uniform(0.1, 0.4))
        np.copyto(region, np.uint32(pack(color, "Tree")), where=rows >= tops)


def paint_ground(canvas: Pixels, camera: Camera, chance: Chance, street: Street) -> None:
    """Paint road, kerbs, pavement and markings: the colour of a point is looked up by its place on the ground."""
    top = max(int(camera.horizon) + 1, 0)
    rows = np.arange(top, camera.height)
    metres = np.float32(camera.eye) / (rows + np.float32(0.5) - np.float32(camera.horizon))  # of a pixel's width
    distance = metres * np.float32(camera.focal)
    across = np.arange(camera.width) + np.float32(0.5) - np.float32(camera.center)
    bins = (across.astype(np.float32) * (metres * BINS_PER_METRE)[:, None] + np.float32(BINS // 2)).astype(np.intp)
    np.clip(bins, 0, BINS - 1, out=bins)
    strips = _ground_strips(chance, street)
    strip = _strip_of_distance(chance, distance)
    region = canvas[top:]
    region[:] = strips.take(bins + (strip * BINS)[:, None])
    grain = chance.pick(fields.grains())
    along = (distance * np.float32(BINS_PER_METRE)).astype(np.int64) % fields.FIELD * fields.FIELD
    region.view(np.uint8)[:] += grain.take(((bins >> 1) & (fields.FIELD - 1)) + along[:, None]).view(np.uint8)


def _ground_strips(chance: Chance, street: Street) -> Pixels:
    """Cross-sections of the ground: 0 plain, 1 with dashes, 2 zebra crossing, 3 line across, 4 joint, 5 shadow."""
    left, right = (BINS // 2 + int(kerb * BINS_PER_METRE) for kerb in street.kerbs)
    stone = chance.pick(((142, 138, 130), (158, 144, 126), (120, 120, 124)))
    flags = scale(mix(street.asphalt, stone, chance.uniform(0.3, 1.0)), chance.uniform(0.92, 1.22))
    paint = pack(mix((222, 220, 212), street.asphalt, chance.uniform(0.0, 0.5)), "Road")
    strips = np.stack([_plain_strip(chance, street, flags, paint, left, right)] * 6)
    middle = (left + right) // 2 if chance.happens(0.7) else left + int(3.2 * BINS_PER_METRE)
    if middle < right - 40:
        strips[1, middle - 3 : middle + 3] = paint
    for start in range(left + 12, right - 30, 52):
        strips[2, start : start + 26] = paint
    strips[3, left + 4 : middle] = paint
    strips[4, :left] = strips[4, right:] = pack(scale(flags, 0.82), "Pavement")
    dim = chance.uniform(0.45, 0.7)
    strips[5] = pack(scale(flags, dim), "Pavement")
    strips[5, left:right] = pack(scale(street.asphalt, dim), "Road")
    if street.sunny:  # the houses on the other side throw their shadow over pavement and part of the road
        reach = BINS // 2 + int(chance.uniform(*street.kerbs) * BINS_PER_METRE)
        shaded = slice(0, reach) if street.sunny > 0 else slice(reach, BINS)
        strips[:5, shaded] = darker(strips[:5, shaded])
    return strips


def _plain_strip(chance: Chance, street: Street, flags: Color, paint: int, left: int, right: int) -> Pixels:
    """Pavement, kerb, road, with what runs along it: lines, wheel tracks, repaired trenches."""
    strip = np.full(BINS, pack(flags, "Pavement"), dtype="<u4")
    strip[left:right] = pack(street.asphalt, "Road")
    strip[left - 7 : left] = strip[right : right + 7] = pack(scale(flags, chance.uniform(0.75, 1.3)), "Pavement")
    if chance.happens(0.5):
        edge = pack(mix((210, 180, 80), street.asphalt, 0.3), "Road") if chance.happens(0.5) else paint
        strip[left + 10 : left + 15] = strip[right - 15 : right - 10] = edge
    for _ in range(chance.integer(0, 2)):
        start = chance.integer(left, right - 50)
        strip[start : start + chance.integer(10, 40)] = pack(scale(street.asphalt, chance.uniform(0.8, 1.15)), "Road")
    return strip


def _strip_of_distance(chance: Chance, distance: NDArray[np.float32]) -> NDArray[np.int32]:
    """Which cross-section of `_ground_strips` the ground has at a distance, one per row."""
    period, dash = chance.uniform(5, 9), chance.uniform(2, 4)
    phase = (distance + np.float32(chance.uniform(0, period))) % np.float32(period)
    strip = (phase < dash).astype(np.int32)
    strip[(distance % np.float32(chance.uniform(0.7, 2.0)) < 0.07) & (strip == 0) & (distance < 14)] = 4
    for kind, length, probability in ((2, 2.6, 0.25), (3, 0.35, 0.3), (5, 2.5, 0.35), (5, 5.0, 0.25)):
        if chance.happens(probability):
            start = chance.uniform(5, 30)
            strip[(distance >= start) & (distance < start + length)] = kind
    return strip
