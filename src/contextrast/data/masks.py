"""Masks from files: values and colours become train ids, and nothing is clipped, wrapped or scaled."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.ImageFile import ImageFile

from contextrast.data.decoding import Picture
from contextrast.data.depth import refuse_deep
from contextrast.data.formats import header, is_lossy, largest, opened
from contextrast.data.labels import IGNORE_INDEX
from contextrast.errors import DataError

Indices = NDArray[np.uint8] | NDArray[np.uint16]
"""A mask as its file has it, ``[H, W]``."""

Color = tuple[int, int, int]
"""RGB, 0..255 each."""

Value = TypeVar("Value")

MAX_CLASSES: Final = 254
"""Train ids fit into one byte beside the ignore index and a mark for what is unknown."""

MAX_VALUE: Final = 65535
"""Largest value of an index mask, which has up to 16 bits."""

UNKNOWN: Final = 254
"""Mark for what is no class and not ignored either, inside of the tables."""

_STRETCHED: Final = {"L;2": 3, "L;4": 15}  # largest values of grey of 2 and 4 bits, which pillow brings to 0..255


@dataclass(frozen=True)
class MaskFile:
    """A mask of one value per pixel as its file has it.

    Attributes:
        values: uint8 or uint16 ``[H, W]``: indices into the palette, or grey values.
        colors: What a viewer draws for each value, uint8 ``[V, 3]``; values beyond have no colour.
        palette: Whether the colours are those of a palette, and not the grey of each value.
    """

    values: Indices
    colors: NDArray[np.uint8]
    palette: bool


def read_mask_file(path: Path) -> MaskFile:
    """Decode a mask of one value per pixel: grey of up to 16 bits, or with a palette.

    Raises:
        DataError: The file is missing, truncated, no image, has several channels, values outside 0..65535, or changed
            its values when it was written (JPEG).
    """
    with opened(path) as file:
        check_mask_file(file, path)
        rawmode, most = str(file.tile[0].args) if file.tile else "", largest(file)
        if file.mode == "LA":
            refuse_deep(file, path)
        mode, pixels = file.mode, without_alpha(file, path) if file.mode == "LA" else file
        values: NDArray[Any] = np.asarray(pixels)
        palette = np.array((file.getpalette() or []) if mode == "P" else [], np.uint8).reshape(-1, 3)
        gif = file.format == "GIF"
    if values.ndim != 2 or values.dtype.kind not in "bui":
        raise DataError(
            f"{path} is not an index mask (one channel of whole numbers): it decodes to {values.shape} {values.dtype}. "
            "Write the number of its class for each pixel; masks in colours are read by data=folder."
        )
    if mode == "P":
        indices: NDArray[np.uint8] = values.astype(np.uint8)
        if gif and indices.max() < len(palette) and _is_grey(palette[np.unique(indices)]):
            return MaskFile(palette[indices][..., 0], _greys(255), palette=False)  # GIF has no other grey
        if not (palette == _greys(255)[: len(palette)]).all():
            return MaskFile(indices, palette, palette=True)
    if values.dtype.kind == "b":
        return MaskFile(values.astype(np.uint8), _greys(1), palette=False)
    if values.min() < 0 or values.max() > MAX_VALUE:
        raise DataError(f"{path} has values from {values.min()} to {values.max()}; masks have 0 to {MAX_VALUE}.")
    if rawmode in _STRETCHED:
        most = _STRETCHED[rawmode]
    if most != 255:  # back from what pillow has brought to 0..255, or for PGM also to 0..65535
        values = np.rint(values * (most / (255 if most < 255 else MAX_VALUE)))
    narrow = most <= 255 and values.max() <= 255
    kept: Indices = values.astype(np.uint8) if narrow else values.astype(np.uint16)
    return MaskFile(kept, _greys(min(most, 255)), palette=False)


def _is_grey(colors: NDArray[np.uint8]) -> bool:
    return bool((colors == colors[:, :1]).all())


def _greys(most: int) -> NDArray[np.uint8]:
    """What a viewer draws for grey values from 0 to the largest one, uint8 ``[V, 3]``."""
    levels: NDArray[np.uint8] = np.rint(np.arange(most + 1) * (255 / most)).astype(np.uint8)
    return np.stack([levels] * 3, axis=1)


def read_colors(path: Path) -> Picture:
    """Decode a mask drawn in colours, RGB uint8 ``[H, W, 3]``.

    Raises:
        DataError: As `decode_image`, or it is lossy, has an orientation tag, or is transparent anywhere.
    """
    with opened(path) as file:
        check_mask_file(file, path)
        refuse_deep(file, path)
        see_through = file.mode in ("RGBA", "LA", "PA") or "transparency" in file.info
        image = without_alpha(file.convert("RGBA"), path) if see_through else file.convert("RGB")
        return np.asarray(image)


def decode_indices(path: Path) -> Indices:
    """Decode a mask of one value per pixel: grey of up to 16 bits, or a palette file, whose colours are not looked at.

    Returns:
        The file's values, uint8 or uint16 ``[H, W]``.

    Raises:
        DataError: As `read_mask_file`.
    """
    return read_mask_file(path).values


def check_mask_file(file: ImageFile, path: Path) -> None:
    """Refuse what no mask should be: lossy, or with an orientation tag, which some programs heed and others do not.

    Raises:
        DataError: It is.
    """
    if is_lossy(file, path):
        raise DataError(f"{path} is compressed with losses, which change the values of masks; write them as PNG.")
    tag = header(file, path).tag
    if tag != 1:
        raise DataError(
            f"{path} is a mask with the orientation tag {tag}: programs differ in whether they turn it. Write it "
            "upright and without the tag: magick mogrify -auto-orient, if it fits its image as a viewer shows both."
        )


def without_alpha(file: Image.Image, path: Path) -> Image.Image:
    """A mask without its channel of transparency.

    Raises:
        DataError: Something is transparent: what is seen there is not the value that the file has.
    """
    opaque = np.asarray(file.getchannel("A")) == 255
    if not opaque.all():
        raise DataError(
            f"{path} is transparent on {1 - opaque.mean():.1%} of its pixels, where its values cannot be seen. If they "
            f"are right, drop the transparency: magick mogrify -alpha off {path.name}; else draw them without."
        )
    return file.convert(file.mode.removesuffix("A"))


def decode_mask(path: Path) -> Picture:
    """Decode a mask whose values are train ids or the ignore index already.

    Returns:
        The file's values, uint8 ``[H, W]``.

    Raises:
        DataError: As `decode_indices`, or a value above 255.
    """
    values = decode_indices(path)
    if values.max() > IGNORE_INDEX:
        raise DataError(
            f"{path} has values up to {values.max()}, but classes are 0..{MAX_CLASSES - 1} and {IGNORE_INDEX} is "
            "ignored. Check that it is a mask of classes, not of instances."
        )
    return values.astype(np.uint8)


class ValueMap:
    """Turns the values of index masks into train ids; a value it does not know is an error, never a guess.

    Args:
        train_ids: Train id, or the ignore index, for every value (0..65535) that a mask may have.
        expected: What a mask should look like, for messages: ``"Masks of toy have 0 (void) and 1..9."``
        palette: Colours of the classes, in the order of their train ids. A mask whose own palette draws its values in
            the colours of other classes is refused: its values were mixed up when it was saved.

    Attributes:
        values: A value for each class, in the order of train ids: the first that was given for it.
    """

    def __init__(self, train_ids: Mapping[int, int], expected: str, palette: Sequence[Color] = ()) -> None:
        self.expected = expected
        self.values = of_classes(train_ids)
        self._train_ids: Picture = np.full(MAX_VALUE + 1, UNKNOWN, dtype=np.uint8)
        self._train_ids[list(train_ids)] = list(train_ids.values())
        self._drawn: dict[Color, list[int]] = {}  # COCO-Stuff has colours that several classes share
        for train_id, color in enumerate(palette):
            self._drawn.setdefault(color, []).append(train_id)

    def __call__(self, path: Path) -> Picture:
        """Decode a mask file to train ids, uint8 ``[H, W]``.

        Raises:
            DataError: As `decode_indices`, or an unknown value, or a palette that says otherwise.
        """
        file = read_mask_file(path)
        mask = self.map(file.values, path)
        if file.palette and self._drawn:
            used = [value for value in np.unique(file.values).tolist() if value < len(file.colors)]
            drawn = [self._drawn.get((red, green, blue), []) for red, green, blue in file.colors[used].tolist()]
            read = self._train_ids[used].tolist()
            if all(drawn) and any(one not in ids for one, ids in zip(read, drawn, strict=True) if one != IGNORE_INDEX):
                raise DataError(
                    f"{path} has a palette: by its values {used} its classes are {read}, by its colours "
                    f"{[ids[0] for ids in drawn]}. It was saved by a program that sorts colours: fetch or convert it "
                    f"again. {self.expected}"
                )
        return mask

    def map(self, values: Indices, path: Path) -> Picture:
        """Map values ``[H, W]`` that were read from a file to train ids, uint8 ``[H, W]``.

        Raises:
            DataError: An unknown value; the message names the file and the values as the file has them.
        """
        mask: Picture = self._train_ids[values]
        unknown = mask == UNKNOWN
        if unknown.any():
            found = np.unique(values[unknown]).tolist()
            listed = ", ".join(map(str, found[:10])) + (", ..." if len(found) > 10 else "")
            raise DataError(f"{path} has the value(s) {listed}. {self.expected}")
        return mask


class ColorMap:
    """Turns masks drawn in RGB colours into train ids.

    Args:
        train_ids: Train id, or the ignore index, by colour.
        expected: What a mask should look like, for messages.
        tolerance: Share of a mask's pixels that may have another colour, and are then ignored.

    Attributes:
        values: A colour for each class, in the order of train ids: the first that was given for it.
    """

    def __init__(self, train_ids: Mapping[Color, int], expected: str, tolerance: float = 0.0) -> None:
        self.expected = expected
        self.values = of_classes(train_ids)
        self.tolerance = tolerance
        self._train_ids: Picture = np.full(1 << 24, UNKNOWN, dtype=np.uint8)  # one entry an RGB colour
        self._train_ids[_packed(np.array(list(train_ids)))] = list(train_ids.values())

    def __call__(self, path: Path) -> Picture:
        """Decode a mask file to train ids, uint8 ``[H, W]``.

        Raises:
            DataError: The file cannot be decoded, or too many of its pixels have an unknown colour.
        """
        return self.map(read_colors(path), path)

    def map(self, picture: Picture, path: Path) -> Picture:
        """Map colours ``[H, W, 3]`` that were read from a file to train ids, uint8 ``[H, W]``.

        Raises:
            DataError: Too many pixels have an unknown colour.
        """
        packed = _packed(picture)
        mask: Picture = self._train_ids[packed]
        unknown = mask == UNKNOWN
        if unknown.mean() > self.tolerance:
            seen: NDArray[np.bool_] = np.zeros(1 << 24, dtype=np.bool_)  # sorting them would take minutes
            seen[packed[unknown]] = True
            colors = [[int(color) >> 16, int(color) >> 8 & 255, int(color) & 255] for color in np.flatnonzero(seen)[:6]]
            listed = ", ".join(map(str, colors[:5])) + (", ..." if len(colors) > 5 else "")
            raise DataError(
                f"{path} has colours of no class on {unknown.mean():.1%} of its pixels: {listed}. {self.expected}"
            )
        mask[unknown] = IGNORE_INDEX
        return mask


def of_classes(train_ids: Mapping[Value, int]) -> tuple[Value, ...]:
    """The first value that is given for each class, in the order of train ids."""
    first: dict[int, Value] = {}
    for value, train_id in train_ids.items():
        first.setdefault(train_id, value)
    return tuple(first[train_id] for train_id in sorted(first) if train_id != IGNORE_INDEX)


def _packed(color: NDArray[Any]) -> NDArray[np.int32]:
    """Pack RGB ``[..., 3]`` into one number ``[...]``."""
    packed: NDArray[np.int32] = color.astype(np.int32) @ np.array([1 << 16, 1 << 8, 1], dtype=np.int32)
    return packed
