"""A dataset of one's own: a folder of images and masks, and a file that names the classes."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any, Final, Literal, get_args

from typing_extensions import override

from contextrast.data.classes_file import FORMAT, read_classes
from contextrast.data.dataset import Transform
from contextrast.data.depth import checked_range
from contextrast.data.files import FileDataset, check_choice, check_parts, existing_folder
from contextrast.data.images import say_left_out
from contextrast.data.labels import IGNORE_INDEX, LabelTable
from contextrast.data.own_masks import Ignore, OwnMasks, Reading, Values, class_values
from contextrast.data.pairing import Pair, image_files, match
from contextrast.data.problems import collecting
from contextrast.errors import ConfigError, DataError, MissingSplitError

Split = Literal["train", "val", "test"]

_NAME: Final = "data=folder"
_LAYOUTS: Final = (
    "It has to hold images/SPLIT/ and masks/SPLIT/, or SPLIT/images/ and SPLIT/masks/ (SPLIT: train, val, test), with "
    "an image and a mask of the same name each, and a classes file, classes.yaml or classes.txt. Name the folder by "
    f"data.root=PATH. {FORMAT}"
)
_TRIED: Final = 8
_ENDING: Final = re.compile(r"[_.\- ][^_.\- /]*")


class Folder(FileDataset):
    """Images and masks of one's own.

    Layouts: ``images/SPLIT/NAME.jpg`` with ``masks/SPLIT/NAME.png``, or ``SPLIT/images/NAME.jpg`` with
    ``SPLIT/masks/NAME.png``; a name may have folders in it, ``site_1/b``. The classes file, see `read_classes`, names
    the classes in the order of their train ids. What masks are read by, see `OwnMasks`.

    A few pairs are read at once, so that a classes file that does not fit shows before the first step.

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
        image_range: The values of images that become black and white, for images of more than 8 bits a channel;
            ``None``: there are none such.
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
        image_range: Sequence[float] | None = None,
        transform: Transform | None = None,
    ) -> None:
        check_choice("split", split, get_args(Split), _NAME)
        check_choice("data.dataset.masks", masks, get_args(Reading), _NAME)
        for key, suffix in {"image_suffix": image_suffix, "mask_suffix": mask_suffix}.items():
            if not isinstance(suffix, str):
                raise ConfigError(f"data.dataset.{key}={suffix} has to be text, such as _mask, or '' for none.")
        folder = existing_folder(root, "Data", _LAYOUTS)
        content = read_classes(folder, classes)
        self.labels = self.labels_for(root, classes, first_value, values)
        decode = OwnMasks(content, ignore, first_value, values, masks)
        self._swallows = ignore == IGNORE_INDEX and masks != "colors" and values is None
        seen = checked_range(image_range)
        super().__init__(_pairs(folder, split, image_suffix, mask_suffix), decode, transform, seen)
        if not collecting():  # who collects problems reads every mask anyway
            for index in range(0, len(self), -(-len(self) // _TRIED)):
                self.read(index)

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


def _pairs(folder: Path, split: Split, image_suffix: str, mask_suffix: str) -> list[Pair]:
    layouts = [
        {f"{kind}/{split}": kind for kind in ("images", "masks")},
        {f"{split}/{kind}": kind for kind in ("images", "masks")},
    ]
    parts = next((names for names in layouts if any((folder / name).is_dir() for name in names)), None)
    if parts is None:
        raise MissingSplitError(f"The data folder {folder} has no split {split!r}. {_LAYOUTS}")
    check_parts(folder, {name: folder / name for name in parts}, "Data", _LAYOUTS)
    found = [image_files(folder / name, subfolders=True) for name in parts]
    if not any(found):
        raise DataError(f"There are no image files in {' and '.join(str(folder / name) for name in parts)}. {_LAYOUTS}")
    images, masks = (
        _without(suffix, files, folder / name)
        for suffix, files, name in zip((image_suffix, mask_suffix), found, parts, strict=True)
    )
    where = f"{split} at {folder}"
    if not images.keys() & masks.keys():
        where += _proposal(*found)
    return match(images, masks, sorted(images.keys() | masks.keys()), where, lambda name: name.replace("/", "_"))


def _without(suffix: str, files: Mapping[str, Path], folder: Path) -> dict[str, Path]:
    """Files whose names end in a suffix, by the names without it."""
    others = [path.name for name, path in files.items() if not name.endswith(suffix)]
    say_left_out(str(folder), {f"without {suffix!r} at the end of their names": others} if others else {})
    return {name.removesuffix(suffix): path for name, path in files.items() if name.endswith(suffix)}


def _proposal(images: Collection[str], masks: Collection[str]) -> str:
    """The suffixes with which names of images and masks would be the same, for a message; empty if there are none."""
    for image_suffix, mask_suffix in product(_endings(images), _endings(masks)):
        names = {name.removesuffix(image_suffix) for name in images if name.endswith(image_suffix)}
        fitting = names & {name.removesuffix(mask_suffix) for name in masks if name.endswith(mask_suffix)}
        if 2 * len(fitting) > len(names):
            given = {"image_suffix": image_suffix, "mask_suffix": mask_suffix}
            settings = " ".join(f"data.dataset.{key}={suffix}" for key, suffix in given.items() if suffix)
            return f" ({len(fitting)} of {len(names)} names fit with {settings})"
    return ""


def _endings(names: Collection[str]) -> list[str]:
    """What names may end in, the shortest first: nothing, or parts of them that begin at a separator."""
    ends = {name[found.start() :] for name in names for found in _ENDING.finditer(name)}
    often = [end for end in ends if 3 * sum(name.endswith(end) for name in names) >= len(names)]  # beside a_color.png
    return ["", *sorted(often, key=lambda end: (len(end), end))]
