"""Masks of one's own: whether a file means its values or its colours, and which classes these are."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from contextrast.data.classes_file import FORMAT, ClassesFile
from contextrast.data.decoding import Picture
from contextrast.data.formats import opened
from contextrast.data.labels import IGNORE_INDEX
from contextrast.data.masks import (
    MAX_VALUE,
    UNKNOWN,
    Color,
    ColorMap,
    MaskFile,
    of_classes,
    read_colors,
    read_mask_file,
)
from contextrast.errors import ConfigError, DataError

Reading = Literal["auto", "values", "colors"]
"""What masks are read by."""

Ignore = int | Sequence[int] | None
Values = Sequence[int] | Mapping[int, int | str | None] | None
Key = TypeVar("Key")

_ONE_CHANNEL: Final = ("1", "L", "P", "LA", "PA", "I", "F")
_SHOWN: Final = 10


class OwnMasks:
    """Reads mask files by their values or by their colours, as the classes file and the settings say.

    * Masks of several channels have colours only.
    * With a palette: by its colours where all that are used are in the classes file; by its values where the classes
      have no colours, or where both readings agree (a colour that is in no file may stand for an ignored value).
    * Grey: by its values, and by grey colours of the classes file (``object 255 255 255``) where values alone do not
      fit. Where all colours of the classes file are grey and say otherwise than values, always by these.

    Where two readings fit and differ, neither is taken.

    Args:
        classes: Names and colours of the classes.
        ignore: What is unlabelled: a value, or an RGB colour; None: nothing.
        first_value: Value of the first class, if ``values`` says nothing.
        values: The value of each class, or a class (its position or name; None: ignored) for each value.
        masks: What masks are read by; with ``values``, ``"auto"`` is by these.

    Raises:
        ConfigError: Settings that cannot be, or contradict each other.
    """

    def __init__(
        self, classes: ClassesFile, ignore: Ignore, first_value: int, values: Values = None, masks: Reading = "auto"
    ) -> None:
        self._classes = classes
        self._masks: Reading = "values" if values is not None and masks == "auto" else masks
        self._first_value = first_value
        self._value, color = _ignored(ignore)
        by_value = _with_ignored("value", self._value, _by_value(classes, first_value, values))
        self._by_value: Picture = np.full(MAX_VALUE + 1, UNKNOWN, dtype=np.uint8)
        self._by_value[list(by_value)] = list(by_value.values())
        own = {color: train_id for train_id, color in enumerate(classes.colors or ())}
        self._by_color = _with_ignored("colour", color, own) if own else {}
        if masks == "colors" and not own:
            raise ConfigError(f"data.dataset.masks=colors, but {classes.path} gives the classes no colours. {FORMAT}")
        greys = {red: train_id for (red, green, blue), train_id in own.items() if red == green == blue}
        self._grey_only = len(greys) == len(own) and any(
            self._by_value[value] not in (UNKNOWN, train_id) for value, train_id in greys.items()
        )
        self._colors = None if not own else ColorMap(
            self._by_color,
            f"{classes.path} has {len(own)} colour(s), and {'no colour' if color is None else list(color)} is ignored. "
            "Name the missing ones there, or change data.dataset.ignore=[R,G,B]; edges must not be smoothed.",
        )  # fmt: skip

    def __call__(self, path: Path) -> Picture:
        """Decode a mask to train ids, uint8 ``[H, W]``.

        Raises:
            DataError: It cannot be decoded, has values or colours of no class, or can be read in two ways.
        """
        with opened(path) as file:
            one_channel = file.mode.partition(";")[0] in _ONE_CHANNEL
        if one_channel:
            return self._of_values(read_mask_file(path), path)
        if self._masks != "values" and self._colors is not None:
            return self._colors(path)
        picture = read_colors(path)
        grey = bool((picture == picture[..., :1]).all())
        if grey and self._masks == "values":
            return self._of_values(MaskFile(picture[..., 0], np.zeros((0, 3), np.uint8), palette=False), path)
        also = " Its channels are equal: data.dataset.masks=values reads one of them." if grey else ""
        if self._masks == "values":
            raise DataError(f"{path} is a colour mask, which has no values for data.dataset.masks=values.")
        raise DataError(
            f"{path} is a colour mask, but {self._classes.path} gives the classes no colours. Add them. {FORMAT}{also}"
        )

    def _of_values(self, file: MaskFile, path: Path) -> Picture:
        used: NDArray[np.intp] = np.flatnonzero(np.bincount(file.values.ravel()))
        read = self._by_value[used]
        drawn = np.array([self._of_color(file, value) for value in used], np.uint8)
        by_colors = self._is_by_colors(file, read, drawn, path, used)
        chosen = drawn if by_colors else read
        if (chosen == UNKNOWN).any():
            unknown = used[chosen == UNKNOWN]
            told = self._unknown_colors(file, unknown) if by_colors else self._unknown_values(unknown, used)
            raise DataError(f"{path} has {told}")
        train_ids: Picture = np.zeros(int(used[-1]) + 1, dtype=np.uint8)
        train_ids[used] = chosen
        mask: Picture = train_ids[file.values]
        return mask

    def _is_by_colors(self, file: MaskFile, read: Picture, drawn: Picture, path: Path, used: NDArray[np.intp]) -> bool:
        if self._masks != "auto" or not self._by_color:
            return self._masks == "colors"
        values_fit, colors_fit = not (read == UNKNOWN).any(), not (drawn == UNKNOWN).any()
        ignored = read == IGNORE_INDEX
        if file.palette:
            if colors_fit:
                return True
            if values_fit and (drawn == read)[~ignored].all() and (drawn == UNKNOWN)[ignored & (drawn != read)].all():
                return False
        else:
            if self._grey_only or values_fit != colors_fit:
                return self._grey_only or colors_fit
            if not values_fit or (drawn == read)[~ignored].all():  # a class's grey counts more than what is ignored
                return values_fit and bool((drawn != read).any())
        each = zip(used, self._shown(file, used), read, drawn, strict=True)
        ways = [
            f"{value} {_text(color)}: {self._named(one)} or {self._named(other)}" for value, color, one, other in each
        ]
        raise DataError(
            f"{path} can be read in two ways. Its values and their colours, with the class by value and by colour: "
            f"{_listed(ways)}. Say which is right, data.dataset.masks=values or data.dataset.masks=colors, or mend the "
            f"colours in {self._classes.path}."
        )

    def _of_color(self, file: MaskFile, value: int) -> int:
        if value >= len(file.colors):
            return UNKNOWN
        red, green, blue = file.colors[value].tolist()
        return self._by_color.get((red, green, blue), UNKNOWN)

    def _shown(self, file: MaskFile, used: NDArray[np.intp]) -> list[list[int] | None]:
        return [file.colors[value].tolist() if value < len(file.colors) else None for value in used]

    def _named(self, train_id: int) -> str:
        return {UNKNOWN: "no class", IGNORE_INDEX: "ignored"}.get(train_id) or self._classes.names[train_id]

    def _unknown_colors(self, file: MaskFile, unknown: NDArray[np.intp]) -> str:
        colors = _listed([_text(color) for color in self._shown(file, unknown)])
        return (
            f"colours of no class: {colors}. {self._classes.path} has {len(self._classes.names)} colour(s). "
            "Name the missing ones there; data.dataset.masks=values reads values in their place."
        )

    def _unknown_values(self, unknown: NDArray[np.intp], used: NDArray[np.intp]) -> str:
        count = len(self._classes.names)
        scaled = scaled_values(used.tolist(), count)
        hint = "" if scaled is None else (
            f"They look scaled to what can be seen: data.dataset.values=[{','.join(map(str, scaled))}]"
            f"{' data.dataset.ignore=null' if self._value in scaled else ''} reads them. "
        )  # fmt: skip
        known = np.flatnonzero((self._by_value != UNKNOWN) & (self._by_value != IGNORE_INDEX)).tolist()
        last = self._first_value + count - 1
        span = f"{known[0]} to {last}" if known == list(range(self._first_value, last + 1)) else _listed(known)
        return (
            f"the value(s) {_listed(unknown.tolist())}. {self._classes.path} names {count} class(es), for the values "
            f"{span}, and {'no value' if self._value is None else self._value} is ignored. {hint}Name the missing "
            "classes there, or change data.dataset.first_value, data.dataset.values or data.dataset.ignore."
        )


def class_values(classes: ClassesFile, first_value: int, values: Values = None) -> tuple[int, ...] | None:
    """The value of each class in index masks; None if one has none. Arguments and errors are those of `OwnMasks`."""
    found = of_classes(_by_value(classes, first_value, values))
    return found if len(found) == len(classes.names) else None


def _by_value(classes: ClassesFile, first_value: int, values: Values) -> dict[int, int]:
    """Train ids, or the ignore index, by value."""
    return _consecutive(first_value, len(classes.names)) if values is None else _given(values, classes.names)


def scaled_values(used: Sequence[int], count: int) -> list[int] | None:
    """The values that classes have in masks whose values were spread over 0..255 to be seen; None if they were not.

    Args:
        used: Values in masks.
        count: Number of classes.
    """
    steps = (255 // (count - 1), 255 / (count - 1), 255 // count, 256 // count)
    spreads = ([round(place * step) for place in range(count)] for step in steps)
    return next((spread for spread in spreads if spread[1] > 1 and set(used) <= set(spread)), None)


def _text(color: Sequence[int] | None) -> str:
    return "without colour" if color is None else str(tuple(color))


def _listed(found: Sequence[object]) -> str:
    return ", ".join(map(str, found[:_SHOWN])) + (", ..." if len(found) > _SHOWN else "")


def _ignored(ignore: Ignore) -> tuple[int | None, Color | None]:
    """The value and the colour that are ignored."""
    if ignore is None or (_is_value(ignore) and isinstance(ignore, int)):
        return ignore, None
    color = tuple(ignore) if isinstance(ignore, Sequence) else ()
    if len(color) != 3 or not all(_is_value(channel) and channel <= 255 for channel in color):
        raise ConfigError(
            f"data.dataset.ignore={ignore} is neither a value in 0..{MAX_VALUE} nor an RGB colour [R,G,B] in 0..255; "
            "null ignores nothing."
        )
    return None, (color[0], color[1], color[2])


def _consecutive(first_value: int, count: int) -> dict[int, int]:
    """Train ids of consecutive values."""
    last = MAX_VALUE + 1 - count
    if not _is_value(first_value) or first_value > last:
        raise ConfigError(
            f"data.dataset.first_value={first_value} has to be a whole number from 0 to {last}: masks have values up "
            f"to {MAX_VALUE}, and there are {count} class(es)."
        )
    return {first_value + train_id: train_id for train_id in range(count)}


def _given(values: Sequence[int] | Mapping[int, int | str | None], names: Sequence[str]) -> dict[int, int]:
    """Train ids, or the ignore index, of values that are given."""
    expected = (
        f"data.dataset.values={values} has to be a list with the value of each of the {len(names)} class(es), all "
        f"different and in 0..{MAX_VALUE}, or a map from values to classes, by position (0..{len(names) - 1}) or name, "
        "or to null for what is ignored."
    )
    if isinstance(values, Mapping):
        classes: dict[object, int] = {None: IGNORE_INDEX}
        for place, name in enumerate(names):
            classes |= {place: place, name: place}
        wrong = [one for one in values.values() if isinstance(one, bool) or one not in classes]
        found = {} if wrong else {value: classes[one] for value, one in values.items()}
    else:
        listed = list(values) if isinstance(values, Sequence) else []  # letters of a text are no values
        found = {value: place for place, value in enumerate(listed)} if len(listed) == len(names) else {}
        if len(found) != len(names):
            raise ConfigError(expected)
    if not found or not all(map(_is_value, found)):
        raise ConfigError(expected)
    return found


def _is_value(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_VALUE  # a bool is an int too


def _with_ignored(kind: str, ignored: Key | None, train_ids: dict[Key, int]) -> dict[Key, int]:
    if ignored is None:
        return train_ids
    if ignored in train_ids:
        raise ConfigError(
            f"data.dataset.ignore={ignored} is the {kind} of class {train_ids[ignored]} too. Ignore another one (null "
            "ignores nothing), or set data.dataset.first_value to the value of the first class."
        )
    return train_ids | {ignored: IGNORE_INDEX}
