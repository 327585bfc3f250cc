"""Where things are put: from metres in a street to boxes and colours on the canvas."""

from dataclasses import dataclass, field

from contextrast.data.streets.backdrop import Street
from contextrast.data.streets.canvas import Camera, Color, Pixels, mix, pack, scale
from contextrast.data.streets.chance import Chance


@dataclass(frozen=True, slots=True)
class Place:
    """What a thing needs to know to be drawn.

    Attributes:
        canvas: Changed in place.
        camera: Where the scene is seen from.
        street: The layout.
        chance: The scene's stream of draws.
        cars: Where cars stand already, across and away.
    """

    canvas: Pixels
    camera: Camera
    street: Street
    chance: Chance
    cars: list[tuple[float, float]] = field(default_factory=list)

    def box(
        self, x: float, z: float, width: float, height: float, base: float = 0.0
    ) -> tuple[float, float, float, float]:
        """Image box of an upright thing: its middle ``x``, width, height and base above the ground in metres."""
        unit = self.camera.focal / z
        left = self.camera.column(x, z) - width * unit / 2
        return left, self.camera.row(base + height, z), width * unit, height * unit

    def tint(self, color: Color, z: float, gain: float = 1.0) -> Color:
        """A thing's colour at a distance: brightened by ``gain``, then faded into the haze."""
        return mix(scale(color, gain), self.street.haze, z / (z + 220))

    def fill(self, box: tuple[float, float, float, float], color: Color, label: str) -> None:
        """Fill a box; it keeps at least one pixel's width and height."""
        left, top = round(box[0]), round(box[1])
        right, bottom = max(round(box[0] + box[2]), left + 1), max(round(box[1] + box[3]), top + 1)
        self.canvas[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)] = pack(color, label)

    def pavement(self, margin: float = 0.3) -> float:
        """Draw a place across on one of the pavements, metres."""
        side = 0 if self.chance.happens(0.5) else 1
        kerb, front = self.street.kerbs[side], self.street.fronts[side]
        outward = -1 if side == 0 else 1
        return self.chance.uniform(kerb + outward * margin, front - outward * margin)

    def kerbside(self, offset: float = 0.35) -> float:
        """Draw a place just beyond one of the kerbs, metres."""
        left, right = self.street.kerbs
        return left - offset if self.chance.happens(0.5) else right + offset
