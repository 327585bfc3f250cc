"""Orientation tags (EXIF, TIFF): whether an image is turned as a viewer turns it, or taken as it is stored."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from PIL import Image

from contextrast.data.problems import fail_if

Orientation = Literal["auto", "viewer", "stored"]
"""``viewer``: turned as its tag says. ``stored``: not turned. ``auto``: turned, unless only the stored picture has the
size of the mask."""

Size = tuple[int, int]
"""Width and height."""

QUARTER_TURNS: Final = (5, 6, 7, 8)
"""Tags that exchange width and height."""

_METHODS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_BACK: Final = _METHODS | {6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}

TAGS: Final = frozenset(_METHODS)
"""Tags that turn or mirror; any other value is no tag."""


@dataclass(frozen=True, slots=True)
class Header:
    """What a file says of its picture before it is decoded.

    Attributes:
        stored: Size as it is stored.
        tag: Orientation tag; 1 for none.
    """

    stored: Size
    tag: int

    @property
    def shown(self) -> Size:
        """Size in a viewer."""
        return self.stored[::-1] if self.tag in QUARTER_TURNS else self.stored

    def sizes(self, orientation: Orientation) -> tuple[Size, ...]:
        """Sizes that its mask may have."""
        return {"auto": (self.shown, self.stored), "viewer": (self.shown,), "stored": (self.stored,)}[orientation]

    def turns(self, orientation: Orientation, mask: Size | None) -> bool:
        """Whether the picture is turned, where its mask, if it has one, has this size."""
        if orientation == "auto":
            return mask is None or not self.stored == mask != self.shown
        return orientation == "viewer"


def turned(image: Image.Image, tag: int, *, back: bool = False) -> Image.Image:
    """A picture as a viewer shows it, or back to what is stored."""
    return image.transpose((_BACK if back else _METHODS)[tag]) if tag in TAGS else image


@dataclass(frozen=True, slots=True)
class Tagged:
    """An image that has an orientation tag, and a mask.

    Attributes:
        path: The image.
        header: Its header.
        mask: Size of its mask.
    """

    path: Path
    header: Header
    mask: Size

    @property
    def ambiguous(self) -> bool:
        """Whether the mask fits the picture either way: half turns, mirrored and square images."""
        return self.header.stored == self.header.shown == self.mask

    @property
    def stored_alone(self) -> bool:
        """Whether the mask fits the stored picture alone."""
        return self.header.stored == self.mask != self.header.shown


def check_orientation(tagged: Sequence[Tagged], orientation: Orientation) -> None:
    """Refuse images whose masks cannot be said to belong to what is read.

    These are, where the orientation is to be found out, images that masks of other images leave in doubt: those fit
    the stored picture, while these fit either way. Where it is given, images whose masks have another size.

    Raises:
        DataError: There are any.
    """
    if orientation == "auto":
        stored = next((one for one in tagged if one.stored_alone), None)
        fail_if(
            [f"{one.path} has the orientation tag {one.header.tag}" for one in tagged if stored and one.ambiguous],
            f"The mask of {stored.path if stored else ''} fits it as it is stored, not as a viewer shows it, and these "
            "fit their masks both ways. Set data.orientation=stored if all masks were drawn on stored pictures; else "
            "turn the pixels of images whose masks fit what a viewer shows, without their tags (magick mogrify "
            "-auto-orient), and set it then",
        )
    else:
        fail_if(
            [
                f"{one.path} is then {text(one.header.sizes(orientation)[0])}, its mask {text(one.mask)}"
                for one in tagged
                if one.mask not in one.header.sizes(orientation)
            ],
            f"data.orientation={orientation} does not fit these orientation tags (sizes are width x height); use auto",
        )


def text(size: Size) -> str:
    """A size for messages."""
    return f"{size[0]}x{size[1]}"
