"""Label tables: which classes a dataset has and how they are drawn."""

import json
from dataclasses import dataclass
from importlib.resources import files
from itertools import zip_longest
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from contextrast.errors import DataError

IGNORE_INDEX: Final = 255
"""The value of a mask's pixel that belongs to no class: left out of loss and metrics, everywhere in this package."""


def read_table(name: str) -> dict[str, Any]:
    """Read one of the package's label files, ``data/tables/<name>.json``, with everything in it.

    Args:
        name: File name without its suffix, for example ``"camvid"``.

    Returns:
        The file's content; ``name``, ``classes`` and ``palette`` are in all of them.
    """
    content: dict[str, Any] = json.loads((files("contextrast.data") / "tables" / f"{name}.json").read_text("utf-8"))
    return content


@dataclass(frozen=True)
class LabelTable:
    """The classes of a dataset in the order of their train ids.

    Attributes:
        name: Short name of the dataset, for tables and file names.
        classes: Class names; position = train id.
        palette: One RGB colour (0..255) per class, in the same order.
        frequency: Each class's share of the labelled training pixels, in the same order; ``None`` where not known.
        values: What the dataset's own masks have for each class, in the same order: a value (0..65535) or an RGB
            colour. ``None`` where not known.
    """

    name: str
    classes: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...]
    frequency: tuple[float, ...] | None = None
    values: tuple[int, ...] | tuple[tuple[int, int, int], ...] | None = None

    @classmethod
    def load(cls, name: str) -> Self:
        """Load a table that ships with the package (``data/tables/<name>.json``)."""
        return cls.from_dict(read_table(name))

    def to_dict(self) -> dict[str, Any]:
        """The table as plain containers, for checkpoints and files."""
        content: dict[str, Any] = {
            "name": self.name,
            "classes": list(self.classes),
            "palette": [list(color) for color in self.palette],
        }
        if self.frequency is not None:
            content["frequency"] = list(self.frequency)
        if self.values is not None:
            content["values"] = [value if isinstance(value, int) else list(value) for value in self.values]
        return content

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Self:
        """The table that `to_dict` wrote.

        Raises:
            DataError: It is none.
        """
        try:
            palette = tuple(map(_color, content["palette"]))
            frequency = None if content.get("frequency") is None else tuple(map(float, content["frequency"]))
            name, classes = str(content["name"]), tuple(map(str, content["classes"]))
            if not 0 < len(classes) == len(palette) == len(frequency or classes) < IGNORE_INDEX:
                raise ValueError(f"{len(classes)} classes, {len(palette)} colours")
            if not all(0 <= value < 256 for color in palette for value in color):
                raise ValueError("colours are 0 to 255")
            values = content.get("values")
            if values is not None:
                values = tuple(int(one) if isinstance(one, int) else _color(one) for one in values)
                np.array(values, np.uint16).reshape(len(classes), *(() if isinstance(values[0], int) else (3,)))
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError, IndexError) as error:
            raise DataError(
                f"A table of classes cannot be read ({type(error).__name__}: {error}). It needs name, classes (names) "
                "and palette (an RGB colour for each class); take the file that holds it from where it was written."
            ) from error
        return cls(name=name, classes=classes, palette=palette, frequency=frequency, values=values)

    @property
    def num_classes(self) -> int:
        """Number of classes; ignored pixels are no class."""
        return len(self.classes)

    @property
    def groups(self) -> dict[str, tuple[int, ...]] | None:
        """Train ids of the head, mid and tail classes; ``None`` where the frequencies are not known.

        Sorted by frequency, most frequent first and ties by train id, and cut into three near-equal runs; what is left
        over goes to the earlier ones.
        """
        if self.frequency is None:
            return None
        order = np.argsort(-np.array(self.frequency), kind="stable")
        parts = (tuple(part.tolist()) for part in np.array_split(order, 3))
        return dict(zip(("head", "mid", "tail"), parts, strict=True))

    def difference(self, other: "LabelTable") -> str:
        """In which classes another table differs, for messages; empty where names and order are the same."""
        if self.classes == other.classes:
            return ""
        pairs = enumerate(zip_longest(self.classes, other.classes, fillvalue="none"))
        differing = [f"{train_id}: {own!r} against {others!r}" for train_id, (own, others) in pairs if own != others]
        kind = "the same names in another order" if sorted(self.classes) == sorted(other.classes) else "other names"
        listed = ", ".join(differing[:5]) + (", ..." if len(differing) > 5 else "")
        counts = f"{self.num_classes} of {self.name} against {other.num_classes} of {other.name}"
        return f"{counts}, {kind} ({listed})"

    def in_files(self, ids: NDArray[np.integer[Any]]) -> NDArray[np.uint8] | NDArray[np.uint16]:
        """Give train ids as the dataset's own masks have them.

        Args:
            ids: Train ids ``[H, W]``, each of a class.

        Returns:
            Values ``[H, W]``, or RGB ``[H, W, 3]``.

        Raises:
            DataError: They are not known.
        """
        if self.values is None:
            raise DataError(
                f"It is not known which values the masks of {self.name} have: what the network comes from does not say "
                "so, or is of an earlier version. values=train_ids needs none."
            )
        table = np.array(self.values, np.uint8 if np.max(self.values) <= IGNORE_INDEX else np.uint16)
        values: NDArray[np.uint8] | NDArray[np.uint16] = table[ids]
        return values

    def colorize(self, ids: NDArray[np.integer[Any]]) -> NDArray[np.uint8]:
        """Draw train ids in the table's colours.

        Args:
            ids: Train ids ``[H, W]``; whatever is no class (the ignore index) becomes black.

        Returns:
            RGB picture ``[H, W, 3]``.
        """
        colors: NDArray[np.uint8] = np.zeros((256, 3), dtype=np.uint8)
        colors[: self.num_classes] = self.palette
        picture: NDArray[np.uint8] = colors[ids]
        return picture


def _color(content: Any) -> tuple[int, int, int]:
    red, green, blue = content
    return int(red), int(green), int(blue)
