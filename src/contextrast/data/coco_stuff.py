"""COCO-Stuff 10k (Caesar et al., 2018): photographs of COCO with things and stuff labelled, 171 classes."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Final, Literal, get_args

from typing_extensions import override

from contextrast.data.dataset import Transform
from contextrast.data.decoding import Picture
from contextrast.data.files import FileDataset, check_choice, existing_folder, no_layout
from contextrast.data.image_lists import read_image_list
from contextrast.data.labels import IGNORE_INDEX, LabelTable, read_table
from contextrast.data.masks import ValueMap
from contextrast.data.mat_files import label_map, mat_files, read_mat
from contextrast.data.pairing import Pair, given_path, image_files, match
from contextrast.errors import DataError, MissingSplitError

Split = Literal["train", "val"]

LISTS: Final = {"train": "imageLists/train.txt", "val": "imageLists/test.txt"}
"""List file of each split."""

PARTS: Final = {"train": "train2014", "val": "test2014"}
"""MMSegmentation's folder of each split, in ``images/`` and ``annotations/``."""

MASK_SUFFIX: Final = "_labelTrainIds"
"""What MMSegmentation's masks have after the image's name."""

_ARCHIVE: Final = "cocostuff-10k-v1.1"
_NAME: Final = "COCO-Stuff 10k"
_TABLE: Final[dict[str, Any]] = read_table("coco_stuff10k")
_LAYOUTS: Final = (
    "Two layouts are read: the official one of version 1.1 (images/*.jpg, annotations/*.mat and imageLists/), and "
    f"MMSegmentation's (images/ and annotations/ with the folders {' and '.join(PARTS.values())}, masks "
    f"*{MASK_SUFFIX}.png). The first is the archive {_ARCHIVE}.zip of https://github.com/nightrome/cocostuff10k. Name "
    "the folder that holds images/ by data.root=PATH."
)
_OLD_NAMES: Final = 172  # version 1.0 counts from 1 and has no gaps: its labels would all be read as other classes
_FROM_RAW: Final = ValueMap(
    dict.fromkeys(range(_TABLE["largest_raw_id"] + 1), IGNORE_INDEX)  # 0 is unlabelled, 11 ids of COCO are never used
    | {raw: train_id for train_id, raw in enumerate(_TABLE["raw_ids"])},
    f"Label maps of COCO-Stuff 10k have 1..{_TABLE['largest_raw_id']} for its classes and 0 for what is unlabelled.",
)
_FROM_MASKS: Final = ValueMap(
    {0: IGNORE_INDEX, **{train_id + 1: train_id for train_id in range(len(_TABLE["classes"]))}},
    f"Masks *{MASK_SUFFIX}.png of COCO-Stuff 10k have 0 for unlabelled and 1..{len(_TABLE['classes'])} for the "
    "classes; those of COCO-Stuff 164k have other values.",
    LabelTable.load("coco_stuff10k").palette,
)


class CocoStuff10k(FileDataset):
    """COCO-Stuff 10k, version 1.1, with 80 classes of things and 91 of stuff; 9000 training and 1000 test images.

    The test list is what papers call val, and so does this class. Layouts, told apart by the folders there are (also
    one level down, in ``cocostuff-10k-v1.1/``):

    * MMSegmentation's, as ``scripts/prepare_coco_stuff10k.py`` writes it: ``images/train2014/x.jpg`` and
      ``annotations/train2014/x_labelTrainIds.png`` with 0 = unlabelled and 1..171, the same in ``test2014`` for val.
      ``imageLists/train.txt`` and ``test.txt`` select and order the images where they exist.
    * The official one: ``images/x.jpg``, ``annotations/x.mat`` with the variable ``S``, and ``imageLists/``.

    Args:
        root: The folder.
        split: ``"train"`` or ``"val"``.
        transform: Augmentation.

    Raises:
        DataError: The folder, the split or files of it are missing, are no images, or differ in size.
        ConfigError: An unknown split.
    """

    labels = LabelTable.load("coco_stuff10k")
    splits: ClassVar = get_args(Split)

    def __init__(
        self, root: str | Path | None = None, split: Split = "train", transform: Transform | None = None
    ) -> None:
        check_choice("split", split, self.splits, _NAME)
        super().__init__(*_find(existing_folder(root, _NAME, _LAYOUTS), split), transform)

    @override
    @classmethod
    def labels_for(cls, root: str | Path | None = None, **_: Any) -> LabelTable:
        """The classes; masks have the values of the layout at ``root``."""
        if root is None:
            return cls.labels
        converted = _converted_folder(given_path("data.root", root))
        return replace(cls.labels, values=(_FROM_MASKS if converted else _FROM_RAW).values)


def _find(root: Path, split: Split) -> tuple[list[Pair], Callable[[Path], Picture]]:
    folder = _converted_folder(root)
    if folder is not None:
        return _converted_pairs(folder, split), _FROM_MASKS
    return official_pairs(root, split), decode_label_map


def _converted_folder(root: Path) -> Path | None:
    folders = (root, root / _ARCHIVE)
    parts = PARTS.values()
    return next((one for one in folders if any((one / "annotations" / part).is_dir() for part in parts)), None)


def _converted_pairs(folder: Path, split: Split) -> list[Pair]:
    images = image_files(folder / "images" / PARTS[split])
    files = image_files(folder / "annotations" / PARTS[split])
    masks = {name.removesuffix(MASK_SUFFIX): path for name, path in files.items() if name.endswith(MASK_SUFFIX)}
    list_file = folder / LISTS[split]
    names = read_image_list(list_file) if list_file.is_file() else sorted(images.keys() | masks.keys())
    if not names:
        raise MissingSplitError(
            f"{_NAME} has no split {split!r} at {folder}: no images in images/{PARTS[split]}/ and no masks "
            f"*{MASK_SUFFIX}.png in annotations/{PARTS[split]}/."
        )
    return match(images, masks, names, f"{_NAME} {split} at {folder}")


def official_pairs(root: Path, split: Split) -> list[Pair]:
    """The official layout's images and label maps, in the order of its list.

    Raises:
        DataError: The layout is not there, or files are missing.
    """
    for folder in (root, root / _ARCHIVE):
        if (folder / "images").is_dir() and (folder / "annotations").is_dir():
            list_file = folder / LISTS[split]
            where = f"{_NAME} {split} at {folder} (as listed in {LISTS[split]})"
            maps = mat_files(folder / "annotations")
            return match(image_files(folder / "images"), maps, read_image_list(list_file), where)
    raise no_layout(root, _NAME, _LAYOUTS)


def decode_label_map(path: Path) -> Picture:
    """Decode an official label map of version 1.1 to train ids, uint8 ``[H, W]``.

    Raises:
        DataError: The file is damaged, of version 1.0, has no ``S``, or a value that is no class.
    """
    content = read_mat(path, "S", "names")
    if "names" in content and content["names"].size == _OLD_NAMES:
        raise DataError(
            f"{path} is of version 1.0 of {_NAME}, whose labels count differently: its table has {_OLD_NAMES} names, "
            f"that of version 1.1 has {_TABLE['largest_raw_id']}. Fetch {_ARCHIVE}.zip."
        )
    return _FROM_RAW.map(label_map(content, "S", path), path)
