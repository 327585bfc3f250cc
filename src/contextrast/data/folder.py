"""A dataset of one's own: a folder of images and masks, and a file that names the classes."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any, Final, Literal, get_args

from typing_extensions import override

from contextrast.data.arrays import RGB
from contextrast.data.classes_file import FORMAT, read_classes
from contextrast.data.dataset import Transform
from contextrast.data.depth import checked_range
from contextrast.data.files import FileDataset, check_choice, check_parts, existing_folder
from contextrast.data.image_lists import read_image_list
from contextrast.data.images import say_left_out
from contextrast.data.labels import IGNORE_INDEX, LabelTable
from contextrast.data.own_masks import Ignore, OwnMasks, Reading, Values, class_values
from contextrast.data.pairing import Pair, image_files, match
from contextrast.data.problems import collecting, fail_if
from contextrast.errors import ConfigError, DataError, MissingSplitError, UnreadableError

Split = Literal["train", "val", "test"]

_NAME: Final = "data=folder"
_LAYOUTS: Final = (
    "It has to hold images/SPLIT/ and masks/SPLIT/, or SPLIT/images/ and SPLIT/masks/ (SPLIT: train, val, test), with "
    "an image and a mask of the same name each, or images/ and masks/ with lists, train.txt and val.txt; and a classes "
    "file, classes.yaml or classes.txt. contextrast-check proposes lists and classes file, and writes them with "
    f"write=true. Name the folder by data.root=PATH. {FORMAT}"
)
_TRIED: Final = 8
_ENDING: Final = re.compile(r"[_.\- ][^_.\- /]*")
_BEGINNING: Final = re.compile(r"[^_.\- /]*[_.\- ]")


@dataclass(frozen=True)
class _Affix:
    """What names of files have around what images and masks have in common.

    Attributes:
        prefix: Before it; of the file's name, not of folders'.
        suffix: After it.
        kind: ``image`` or ``mask``.

    Raises:
        ConfigError: One is no text.
    """

    prefix: str
    suffix: str
    kind: str

    def __post_init__(self) -> None:
        for key, text in self._settings.items():
            if not isinstance(text, str):
                raise ConfigError(f"data.dataset.{key}={text} has to be text, such as _mask or mask_, or '' for none.")

    @property
    def _settings(self) -> dict[str, str]:
        return {f"{self.kind}_prefix": self.prefix, f"{self.kind}_suffix": self.suffix}

    def shared(self, name: str) -> str | None:
        """What a name, ``site_1/mask_b``, has in common with that of the other kind; None if it lacks one of these."""
        folders, slash, file = name.rpartition("/")
        if not (file.startswith(self.prefix) and file.endswith(self.suffix)):
            return None
        return f"{folders}{slash}{file.removeprefix(self.prefix).removesuffix(self.suffix)}"

    def __str__(self) -> str:
        return " ".join(f"data.dataset.{key}={text}" for key, text in self._settings.items() if text)


class Folder(FileDataset):
    """Images and masks of one's own.

    Layouts: ``images/SPLIT/NAME.jpg`` with ``masks/SPLIT/NAME.png``, or ``SPLIT/images/NAME.jpg`` with
    ``SPLIT/masks/NAME.png``; or ``images/NAME.jpg`` with ``masks/NAME.png``, where ``SPLIT.txt`` lists the names of a
    split, one a line. A name may have folders in it, ``site_1/b``. The classes file, see `read_classes`, names
    the classes in the order of their train ids. What masks are read by, see `OwnMasks`.

    A few pairs are read at once, so that a classes file that does not fit shows before the first step; of what cannot
    be decoded among them the first is noted.

    Args:
        root: The folder.
        split: ``"train"``, ``"val"`` or ``"test"``; only the files of this split have to exist.
        classes: The classes file, absolute or from ``root``; ``None``: ``classes.yaml`` or ``classes.txt`` there.
        ignore: What is unlabelled: a value of index masks, or an RGB colour of colour masks; ``None``: nothing.
        first_value: Value of the first class in index masks.
        values: Value of each class in index masks, or a class for each value, where they do not count up.
        masks: What masks are read by: ``"auto"``, ``"values"`` or ``"colors"``.
        image_suffix: What the names of images have after what image and mask have in common; others are left out.
        mask_suffix: The same of masks: ``"_mask"`` for ``a.jpg`` and ``a_mask.png``.
        image_prefix: What they have before it; in folders inside, the files and not the folders.
        mask_prefix: The same of masks: ``"mask_"`` for ``a.jpg`` and ``mask_a.png``.
        image_range: The values of images that become black and white, for images of more than 8 bits a channel, or a
            pair of them for each channel; ``None``: there are none such.
        channels: Of the images; other than three are read from ``.npy`` and TIFF.
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
        values: Values = None,
        masks: Reading = "auto",
        image_suffix: str = "",
        mask_suffix: str = "",
        image_prefix: str = "",
        mask_prefix: str = "",
        image_range: Sequence[float] | Sequence[Sequence[float]] | None = None,
        channels: int = RGB,
        transform: Transform | None = None,
    ) -> None:
        check_choice("split", split, get_args(Split), _NAME)
        check_choice("data.dataset.masks", masks, get_args(Reading), _NAME)
        affixes = {
            "images": _Affix(image_prefix, image_suffix, "image"),
            "masks": _Affix(mask_prefix, mask_suffix, "mask"),
        }
        folder = existing_folder(root, "Data", _LAYOUTS)
        content = read_classes(folder, classes)
        self.labels = self.labels_for(root, classes, first_value, values)
        decode = OwnMasks(content, ignore, first_value, values, masks)
        self._swallows = ignore == IGNORE_INDEX and masks != "colors" and values is None
        seen = checked_range(image_range, channels)
        super().__init__(_pairs(folder, split, affixes), decode, transform, seen, channels)
        if not collecting():  # who collects problems reads every mask anyway
            for index in range(0, len(self), -(-len(self) // _TRIED)):
                try:
                    self.read(index)
                except UnreadableError as error:  # which says nothing about the others
                    self.unreadable = self.unreadable or error

    @classmethod
    def labels_for(
        cls,
        root: str | Path | None = None,
        classes: str | Path | None = None,
        first_value: int = 0,
        values: Values = None,
        **_: Any,
    ) -> LabelTable:
        """The classes that the classes file names, with the values of index masks."""
        folder = existing_folder(root, "Data", _LAYOUTS)
        content = read_classes(folder, classes)
        table = content.label_table(folder.resolve().name or "folder")
        return replace(table, values=class_values(content, first_value, values))

    @override
    def absence_hint(self, ignored: float) -> str:
        if not ignored or not self._swallows:
            return ""
        two = len(self.labels.classes) == 2
        values = " or their values (data.dataset.values=[0,255] data.dataset.ignore=null)" if two else ""
        return (
            f"{IGNORE_INDEX} is ignored (data.dataset.ignore), and {ignored:.1%} of the pixels in masks are. If it is "
            f"a class, give the classes file colours for all classes ('{self.labels.classes[-1]} 255 255 255'){values}."
        )


def layouts(split: str) -> list[dict[str, str]]:
    """Folders in which a split may lie, and whether each holds images or masks."""
    kinds = ("images", "masks")
    return [{f"{kind}/{split}": kind for kind in kinds}, {f"{split}/{kind}": kind for kind in kinds}]


def list_of(folder: Path, split: str) -> Path:
    """The file that lists a split's images where no folder of its own holds them."""
    return folder / f"{split}.txt"


def _pairs(folder: Path, split: Split, affixes: Mapping[str, _Affix]) -> list[Pair]:
    parts = next((names for names in layouts(split) if any((folder / name).is_dir() for name in names)), None)
    listed = None
    if parts is None:
        listed = list_of(folder, split)
        if not listed.is_file():
            raise MissingSplitError(f"The data folder {folder} has no split {split!r}. {_LAYOUTS}")
        parts = {kind: kind for kind in affixes}
    check_parts(folder, {name: folder / name for name in parts}, "Data", _LAYOUTS)
    found = [image_files(folder / name, subfolders=True) for name in parts]
    if not any(found):
        raise DataError(f"There are no image files in {' and '.join(str(folder / name) for name in parts)}. {_LAYOUTS}")
    images, masks = (
        _shared(affixes[kind], files, folder / name) for (name, kind), files in zip(parts.items(), found, strict=True)
    )
    where = f"{split} at {folder}"
    if listed is not None:
        images = _listed(listed, images, affixes["images"])
        masks = {name: path for name, path in masks.items() if name in images}
    if not images.keys() & masks.keys():
        where += _proposal(*found)
    return match(images, masks, sorted(images.keys() | masks.keys()), where, lambda name: name.replace("/", "_"))


def _listed(path: Path, images: Mapping[str, Path], affix: _Affix) -> dict[str, Path]:
    """The images whose names a list has.

    Raises:
        DataError: If it names one that is not there.
    """
    names = [affix.shared(name) or name for name in read_image_list(path)]
    fail_if(
        [name for name in names if name not in images], f"{path} names images that are not in {path.parent / 'images'}"
    )
    return {name: images[name] for name in names}


def _shared(affix: _Affix, files: Mapping[str, Path], folder: Path) -> dict[str, Path]:
    """Files whose names have a prefix and a suffix, by the names without them."""
    names = {name: affix.shared(name) for name in files}
    others = [files[name].name for name, shared in names.items() if shared is None]
    say_left_out(str(folder), {f"without {affix}": others} if others else {})
    return {shared: files[name] for name, shared in names.items() if shared is not None}


def _proposal(images: Collection[str], masks: Collection[str]) -> str:
    """The affixes with which names of images and masks would be the same, for a message; empty if there are none."""
    for of_images, of_masks in product(_affixes(images, "image"), _affixes(masks, "mask")):
        names = {shared for name in images if (shared := of_images.shared(name)) is not None}
        fitting = names & {shared for name in masks if (shared := of_masks.shared(name)) is not None}
        if 2 * len(fitting) > len(names):
            settings = " ".join(text for text in (str(of_images), str(of_masks)) if text)
            return f" ({len(fitting)} of {len(names)} names fit with {settings})"
    return ""


def _affixes(names: Collection[str], kind: str) -> list[_Affix]:
    """What many names have in common, the shortest first: nothing, or parts that end or begin at a separator."""
    files = [name.rpartition("/")[2] for name in names]
    found = {_Affix("", file[place.start() :], kind) for file in files for place in _ENDING.finditer(file)}
    found |= {_Affix(file[: place.end()], "", kind) for file in files for place in _BEGINNING.finditer(file)}
    often = [one for one in found if 3 * sum(one.shared(file) is not None for file in files) >= len(files)]
    return [_Affix("", "", kind), *sorted(often, key=lambda one: (len(str(one)), str(one)))]  # beside a_color.png
