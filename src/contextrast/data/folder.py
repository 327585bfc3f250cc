"""A dataset of one's own: a folder of images and masks, and a file that names the classes."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Literal, TypeVar, get_args

from contextrast.data.classes_file import FORMAT, ClassesFile, read_classes
from contextrast.data.dataset import Transform
from contextrast.data.decoding import MAX_VALUE, Color, ColorMap, Picture, ValueMap, opened
from contextrast.data.files import FileDataset, check_choice, check_parts, existing_folder
from contextrast.data.labels import IGNORE_INDEX, LabelTable
from contextrast.data.pairing import Pair, collecting, fail_if, image_files, match
from contextrast.errors import ConfigError, DataError, MissingSplitError

Split = Literal["train", "val", "test"]
Ignore = int | Sequence[int] | None
Key = TypeVar("Key")

_LAYOUTS: Final = (
    "It has to hold images/SPLIT/ and masks/SPLIT/, or SPLIT/images/ and SPLIT/masks/ (SPLIT: train, val, test), with "
    "an image and a mask of the same name each, and a classes file, classes.yaml or classes.txt. Name the folder by "
    f"data.root=PATH. {FORMAT}"
)
_LOSSY: Final = (".jpg", ".jpeg")
_TRIED: Final = 8


class Folder(FileDataset):
    """Images and masks of one's own.

    Layouts: ``images/SPLIT/NAME.jpg`` with ``masks/SPLIT/NAME.png``, or ``SPLIT/images/NAME.jpg`` with
    ``SPLIT/masks/NAME.png``. The classes file, see `read_classes`, names the classes in the order of their train ids.
    Masks are told apart file by file:

    * Index masks, of one channel and up to 16 bits, or with a palette, whose colours are not looked at: the first class
      has the value ``first_value``, the next one the value after it, and so on.
    * Colour masks, of three or four channels: their colours are those of the classes file.

    A few pairs are read at once, so that a classes file that does not fit shows before the first step.

    Args:
        root: The folder.
        split: ``"train"``, ``"val"`` or ``"test"``; only the files of this split have to exist.
        classes: The classes file, absolute or from ``root``; ``None``: ``classes.yaml`` or ``classes.txt`` there.
        ignore: What is unlabelled: a value of index masks, or an RGB colour of colour masks; ``None``: nothing.
        first_value: Value of the first class in index masks.
        transform: Augmentation.

    Raises:
        DataError: The folder, the split or files of it are missing, are no images, or differ in size; or the classes
            file is missing, cannot be read or does not fit the masks.
        ConfigError: An unknown split, or settings that contradict each other.
    """

    def __init__(
        self,
        root: str | Path | None = None,
        split: Split = "train",
        classes: str | Path | None = None,
        ignore: Ignore = IGNORE_INDEX,
        first_value: int = 0,
        transform: Transform | None = None,
    ) -> None:
        check_choice("split", split, get_args(Split), "data=folder")
        folder = existing_folder(root, "Data", _LAYOUTS)
        content = read_classes(folder, classes)
        self.labels = _labels(content, folder, first_value)
        pairs = _pairs(folder, split)
        decode = _Decoder(content, ignore, first_value)
        super().__init__(pairs, decode, transform)
        if not collecting():  # who collects problems reads every mask anyway
            for index in range(0, len(self), -(-len(self) // _TRIED)):
                self.read(index)

    @classmethod
    def labels_for(
        cls, root: str | Path | None = None, classes: str | Path | None = None, first_value: int = 0, **_: Any
    ) -> LabelTable:
        """The classes that the classes file names, with the values of index masks."""
        folder = existing_folder(root, "Data", _LAYOUTS)
        return _labels(read_classes(folder, classes), folder, first_value)


def _labels(classes: ClassesFile, folder: Path, first_value: int) -> LabelTable:
    count = len(classes.names)
    _check_values(first_value, count)
    table = classes.label_table(folder.resolve().name or "folder")
    return replace(table, values=tuple(range(first_value, first_value + count)))


def _pairs(folder: Path, split: Split) -> list[Pair]:
    layouts = [
        {f"{kind}/{split}": kind for kind in ("images", "masks")},
        {f"{split}/{kind}": kind for kind in ("images", "masks")},
    ]
    parts = next((names for names in layouts if any((folder / name).is_dir() for name in names)), None)
    if parts is None:
        raise MissingSplitError(f"The data folder {folder} has no split {split!r}. {_LAYOUTS}")
    check_parts(folder, {name: folder / name for name in parts}, "Data", _LAYOUTS)
    images, masks = (image_files(folder / name) for name in parts)
    if not images and not masks:
        raise DataError(f"There are no image files in {' and '.join(str(folder / name) for name in parts)}. {_LAYOUTS}")
    lossy = [str(path) for path in masks.values() if path.suffix.lower() in _LOSSY]
    fail_if(lossy, "JPEG changes the values of masks; write them as PNG")
    return match(images, masks, sorted(images.keys() | masks.keys()), f"{split} at {folder}")


class _Decoder:
    """Reads a mask file, index or colour, as the classes file says."""

    def __init__(self, classes: ClassesFile, ignore: Ignore, first_value: int) -> None:
        count, self._path = len(classes.names), classes.path
        value, color = _ignored(ignore)
        self._values = ValueMap(
            _with_ignored("value", value, {first_value + train_id: train_id for train_id in range(count)}),
            f"{classes.path} names {count} class(es), for the values {first_value} to {first_value + count - 1}, and "
            f"{'no value' if value is None else value} is ignored. Name the missing classes there, or change "
            "data.dataset.first_value or data.dataset.ignore.",
        )
        self._colors = classes.colors and ColorMap(
            _with_ignored("colour", color, {own: train_id for train_id, own in enumerate(classes.colors)}),
            f"{classes.path} has {count} colour(s), and {'no colour' if color is None else list(color)} is ignored. "
            "Name the missing ones there, or change data.dataset.ignore=[R,G,B]; edges must not be smoothed.",
        )

    def __call__(self, path: Path) -> Picture:
        """Decode a mask to train ids ``[H, W]``."""
        with opened(path) as file:
            colored = file.mode in ("RGB", "RGBA")
        if not colored:
            return self._values(path)
        if not self._colors:
            raise DataError(
                f"{path} is a colour mask, but {self._path} gives the classes no colours. Add them. {FORMAT}"
            )
        return self._colors(path)


def _ignored(ignore: Ignore) -> tuple[int | None, Color | None]:
    """The value and the colour that are ignored."""
    if ignore is None or (_is_whole(ignore) and isinstance(ignore, int) and 0 <= ignore <= MAX_VALUE):
        return ignore, None
    color = tuple(ignore) if isinstance(ignore, Sequence) else ()
    if len(color) != 3 or not all(_is_whole(channel) and 0 <= channel <= 255 for channel in color):
        raise ConfigError(
            f"data.dataset.ignore={ignore} is neither a value in 0..{MAX_VALUE} nor an RGB colour [R,G,B] in 0..255; "
            "null ignores nothing."
        )
    return None, (color[0], color[1], color[2])


def _check_values(first_value: object, count: int) -> None:
    """Raise a `ConfigError` if the classes' values are none that a mask can have."""
    last = MAX_VALUE + 1 - count
    if not isinstance(first_value, int) or not _is_whole(first_value) or not 0 <= first_value <= last:
        raise ConfigError(
            f"data.dataset.first_value={first_value} has to be a whole number from 0 to {last}: masks have values up "
            f"to {MAX_VALUE}, and there are {count} class(es)."
        )


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)  # a bool is an int too


def _with_ignored(kind: str, ignored: Key | None, train_ids: dict[Key, int]) -> dict[Key, int]:
    if ignored is None:
        return train_ids
    if ignored in train_ids:
        raise ConfigError(
            f"data.dataset.ignore={ignored} is the {kind} of class {train_ids[ignored]} too. Ignore another one, or "
            "set data.dataset.first_value to the value of the first class."
        )
    return train_ids | {ignored: IGNORE_INDEX}
