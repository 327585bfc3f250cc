"""What stands in a street: poles, signs, trees, cars, people, cyclists, and things that have no class."""

from collections.abc import Callable
from functools import partial
from typing import Final

from contextrast.data.streets.canvas import hex_colors, pack_palette, paste, scale
from contextrast.data.streets.place import Place
from contextrast.data.streets.sprites import cars, sprites
from contextrast.data.streets.surfaces import LEAVES
from contextrast.data.streets.walls import fence_panels

_CLOTHES: Final = hex_colors("1e2028 2c2e38 343c68 625442 787674 a6282a 38683e c4c0b8")
_SKIN: Final = hex_colors("cea288 aa7a5c 6a4c3c")
_PAINTS: Final = hex_colors("26282c 464a50 707274 a2a4a6 cececc 7c2224 2a3e70 2e4c3e 6e604e")
_METALS: Final = hex_colors("323634 545656 969898 282e28 b0b2b0 706252")
_SIGN_FACES: Final = (  # border, face, symbol
    hex_colors("ba2424 dcdad4 242424"),
    hex_colors("b82628 e2e2dc b02828"),
    hex_colors("cececc 264698 d8d8d6"),
    hex_colors("284a96 2c50a0 dcdcda"),
    hex_colors("3c3c3c d6b030 323232"),
    hex_colors("cececc 2c6848 d6d6d2"),
    hex_colors("787a7a 989896 808080"),  # the back of a sign, as grey as its pole
)


def draw_things(place: Place) -> None:
    """Draw a scene's things from far to near, so that near ones hide far ones."""
    chance = place.chance
    kinds: tuple[tuple[Callable[[Place, float], None], int, int, float, float], ...] = (
        # what, least and most number, nearest and farthest distance in metres
        (_tree, 1, 7, 6, 50),
        (_lamp_post, 1, 3, 6, 45),
        (_sign_post, 0, 4, 5, 30),
        (_traffic_light, 0, 2, 5, 30),
        (_parked_car, 0, 5, 6, 60),
        (_moving_car, 0, 2, 7, 60),
        (_pedestrian, 1, 4, 5, 36),
        (_cyclist, 0, 2, 6.5, 30),
        (_clutter, 0, 2, 5, 30),
    )
    queue: list[tuple[float, Callable[[], None]]] = []
    for draw, least, most, near, far in kinds:
        for _ in range(chance.integer(least, most)):
            z = 1 / chance.uniform(1 / far, 1 / near)  # as many per pixel of the image at every distance
            queue.append((z, partial(draw, place, z)))
    for _ in range(chance.pick((0, 1, 1, 2, 2))):
        queue.extend(fence_panels(place.canvas, place.camera, chance, place.street))
    if chance.happens(0.4):
        queue.extend(_bollards(place))
    queue.sort(key=lambda entry: -entry[0])
    for _, draw_one in queue:
        draw_one()


def _tree(place: Place, z: float) -> None:
    chance = place.chance
    x = place.kerbside(chance.uniform(0.5, 1.2)) if chance.happens(0.6) else chance.sign() * chance.uniform(7, 14)
    trunk, wide, high = chance.uniform(1.8, 3.2), chance.uniform(2.6, 6.5), chance.uniform(3.0, 7.0)
    bark = place.tint(chance.pick(((74, 62, 50), (98, 88, 74), (60, 56, 50))), z)
    place.fill(place.box(x, z, chance.uniform(0.18, 0.4), trunk + 0.3 * high), bark, "Tree")
    leaf, gain = chance.pick(LEAVES), chance.uniform(0.75, 1.2)
    shades = [place.tint(leaf, z, gain * (0.55 + 0.15 * level)) for level in range(6)]
    palette = pack_palette([*shades, bark], "Tree")
    paste(place.canvas, chance.pick(sprites("crown")), palette, place.box(x, z, wide, high, trunk), chance.happens(0.5))


def _lamp_post(place: Place, z: float) -> None:
    chance = place.chance
    x, high = place.kerbside(), chance.uniform(4.5, 8.5)
    metal = place.tint(chance.pick(_METALS), z)
    place.fill(place.box(x, z, chance.uniform(0.12, 0.2), high), metal, "Pole")
    if chance.happens(0.6):  # the arm, over the road
        reach = chance.uniform(0.8, 1.8)
        inward = reach / 2 if x < 0 else -reach / 2
        place.fill(place.box(x + inward, z, reach, 0.1, high), metal, "Pole")
        place.fill(place.box(x + 2 * inward, z, 0.5, 0.16, high), place.tint((170, 170, 164), z), "Pole")


def _sign_post(place: Place, z: float) -> None:
    chance = place.chance
    x, high = place.kerbside(chance.uniform(0.2, 0.9)), chance.uniform(2.0, 2.8)
    place.fill(place.box(x, z, chance.uniform(0.09, 0.14), high), place.tint(chance.pick(_METALS), z), "Pole")
    gain = chance.uniform(0.6, 1.1)
    palette = pack_palette([place.tint(color, z, gain) for color in chance.pick(_SIGN_FACES)], "SignSymbol")
    if chance.happens(0.25):  # a board with directions
        box = place.box(x, z, chance.uniform(1.0, 2.0), chance.uniform(0.7, 1.3), high)
        paste(place.canvas, sprites("sign")[2], palette, box)
        return
    for number in range(chance.integer(1, 2)):
        size = chance.uniform(0.6, 0.9)
        paste(place.canvas, chance.pick(sprites("sign")), palette, place.box(x, z, size, size, high - 0.8 * number))


def _traffic_light(place: Place, z: float) -> None:
    chance = place.chance
    x, high = place.kerbside(0.4), chance.uniform(2.1, 2.6)
    place.fill(place.box(x, z, 0.12, high), place.tint((60, 62, 62), z), "Pole")
    lamps = chance.pick((((190, 60, 50), (60, 52, 40), (48, 60, 52)), ((64, 46, 44), (60, 52, 40), (80, 210, 130))))
    palette = pack_palette([place.tint(color, z) for color in ((36, 38, 38), *lamps)], "SignSymbol")
    paste(place.canvas, sprites("traffic light")[0], palette, place.box(x, z, 0.4, 1.1, high))


def _car(place: Place, x: float, z: float) -> None:
    """A car whose near end is at ``z``: which side of it shows, and how much, follows from where it stands."""
    if any(abs(x - other_x) < 1.9 and abs(z - other_z) < 4.5 for other_x, other_z in place.cars):
        return
    place.cars.append((x, z))
    chance = place.chance
    share = max(abs(x) - 0.88, 0.0) * 4.2 / (z + 4.2)  # of the end's width, 1.75 m
    wanted = share / (1.75 + share)
    side, sprite = min(chance.pick(cars()), key=lambda option: abs(option[0] - wanted))
    width, height = 1.75 / (1 - side), sprite.shape[0] / 40
    paint, gain = chance.pick(_PAINTS), chance.uniform(0.8, 1.15)
    body, flank = place.tint(paint, z, gain), place.tint(paint, z, gain * chance.uniform(0.7, 1.1))
    glass = place.tint((44, 50, 56), z, chance.uniform(0.7, 2.0))
    lamp = place.tint((170, 36, 34) if x < 0.5 else (206, 204, 196), z)
    plate, tyre = place.tint((196, 184, 120), z), place.tint((32, 32, 34), z)
    palette = pack_palette([body, flank, glass, glass, tyre, lamp, plate, tyre, scale(body, 1.2)], "Car")
    left, top, wide, high = place.box(x, z, 1.75, height)
    full = wide * width / 1.75
    ground = pack_palette([scale(place.street.asphalt, 0.45)], "Road")
    if x > 0:  # the visible side faces the camera's line: it is on the left then
        left -= full - wide
    paste(place.canvas, sprites("shadow")[0], ground, (left - 0.04 * full, top + 0.9 * high, 1.08 * full, 0.16 * high))
    paste(place.canvas, sprite, palette, (left, top, full, high), flip=x > 0)


def _parked_car(place: Place, z: float) -> None:
    left, right = place.street.kerbs
    _car(place, left + 0.95 if place.chance.happens(0.4) else right - 0.95, z)


def _moving_car(place: Place, z: float) -> None:
    left, right = place.street.kerbs
    middle = (left + right) / 2
    _car(place, place.chance.uniform(-0.4, 0.4) if place.chance.happens(0.5) else max(middle + 1.4, 1.6), z)


def _pedestrian(place: Place, z: float) -> None:
    chance = place.chance
    x = place.pavement() if chance.happens(0.85) else chance.uniform(*place.street.kerbs)
    for _ in range(chance.pick((1, 1, 1, 2))):
        high = chance.uniform(1.5, 1.9)
        hair = chance.pick(((44, 36, 30), (84, 62, 42), (130, 124, 118), (60, 62, 80)))
        coat, legs, bag = (chance.pick(_CLOTHES) for _ in range(3))
        parts = (chance.pick(_SKIN), hair, coat, legs, (42, 38, 36), bag)
        palette = pack_palette([place.tint(color, z) for color in parts], "Pedestrian")
        sprite = chance.pick(sprites("pedestrian"))
        paste(place.canvas, sprite, palette, place.box(x, z, high / 2, high), chance.happens(0.5))
        x += chance.sign() * 0.7


def _cyclist(place: Place, z: float) -> None:
    chance = place.chance
    left, right = place.street.kerbs
    x = chance.pick((left + 0.7, right - 0.7, chance.uniform(left, right)))
    coat = chance.pick((*_CLOTHES, (206, 214, 60)))
    skin, helmet, legs, frame = (chance.pick(colors) for colors in (_SKIN, _CLOTHES, _CLOTHES, _PAINTS))
    parts = (skin, helmet, coat, legs, (42, 38, 36), (34, 34, 36), frame)
    palette = pack_palette([place.tint(color, z) for color in parts], "Bicyclist")
    paste(place.canvas, chance.pick(sprites("cyclist")), palette, place.box(x, z, 1.75, 1.75), chance.happens(0.5))


def _bollards(place: Place) -> list[tuple[float, Callable[[], None]]]:
    """Draw a row of posts along a kerb, each as a pair of its distance and what paints it."""
    chance = place.chance
    x, start, metal = place.kerbside(0.25), chance.uniform(4, 16), chance.pick(_METALS)
    posts: list[tuple[float, Callable[[], None]]] = []
    for number in range(chance.integer(2, 5)):
        z = start + 1.6 * number
        posts.append((z, partial(place.fill, place.box(x, z, 0.13, 1.0), place.tint(metal, z), "Pole")))
    return posts


def _clutter(place: Place, z: float) -> None:
    """Bins and boxes: no class of the table."""
    chance = place.chance
    color = chance.pick(((46, 60, 52), (60, 62, 70), (150, 44, 40), (120, 116, 108)))
    box = place.box(place.pavement(), z, chance.uniform(0.5, 0.9), chance.uniform(0.8, 1.3))
    place.fill(box, place.tint(color, z), "void")
