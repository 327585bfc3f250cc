"""PASCAL-Context (Mottaghi et al., 2014): the images of VOC2010 with every pixel labelled, 59 classes."""

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

Split = Literal["train", "val"]

MASKS: Final = "SegmentationClassContext"
"""MMSegmentation's folder of masks, in ``VOC2010/``."""

LISTS: Final = "ImageSets/SegmentationContext"
"""MMSegmentation's folder of list files, in ``VOC2010/``."""

IMAGES: Final = "JPEGImages"
"""VOC's folder of images, in ``VOC2010/``."""

_MAIN_LISTS: Final = "ImageSets/Main"
_LABEL_MAPS: Final = "trainval"
_NAME: Final = "PASCAL-Context"
_TABLE: Final[dict[str, Any]] = read_table("pascal_context")
_LAYOUTS: Final = (
    f"Two layouts are read, both with VOCdevkit/VOC2010/{IMAGES}/: the official one, with VOC2010/{_MAIN_LISTS}/ and "
    f"the label maps {_LABEL_MAPS}/*.mat (beside VOCdevkit/, or in VOC2010/); and MMSegmentation's, with "
    f"VOC2010/{MASKS}/*.png and VOC2010/{LISTS}/. Images and lists are part of "
    "http://host.robots.ox.ac.uk/pascal/VOC/voc2010/, the label maps of "
    "https://cs.stanford.edu/~roozbeh/pascal-context/. Name the folder that holds VOCdevkit/ by data.root=PATH."
)
_FROM_459: Final = ValueMap(
    dict.fromkeys(range(_TABLE["largest_raw_id"] + 1), IGNORE_INDEX)
    | {raw: train_id for train_id, raw in enumerate(_TABLE["raw_ids"])},
    f"Label maps of PASCAL-Context have 1..{_TABLE['largest_raw_id']} for its classes and 0 for what has none.",
)
_FROM_MASKS: Final = ValueMap(
    {0: IGNORE_INDEX, **{train_id + 1: train_id for train_id in range(len(_TABLE["classes"]))}},
    f"Masks in {MASKS} have 0 for what is ignored and 1..{len(_TABLE['classes'])} for the classes.",
    LabelTable.load("pascal_context").palette,
)


class PascalContext(FileDataset):
    """PASCAL-Context with its 59 usual classes; 4998 training and 5105 validation images.

    All other classes and unlabelled pixels are ignored; scores that count them as a 60th class cannot be compared. A
    list file selects the images, as VOC2010 has more of them. Layouts, told apart by the folders there are:

    * MMSegmentation's, as ``scripts/prepare_pascal_context.py`` writes it: ``SegmentationClassContext/x.png`` with
      0 = ignored and 1..59 in the alphabetical order of the classes, lists in ``ImageSets/SegmentationContext/``, or
      where those are missing in ``ImageSets/Main/``. Other masks with the values 0..59 exist that have another order
      of classes; they cannot be told apart.
    * The official one: ``trainval/x.mat``, whose variable ``LabelMap`` has 459 classes, lists in ``ImageSets/Main/``.

    Args:
        root: The folder that holds ``VOCdevkit/VOC2010/`` or ``VOC2010/``, or ``VOC2010`` itself.
        split: ``"train"`` or ``"val"``.
        transform: Augmentation.

    Raises:
        DataError: The folder, the split or files of it are missing, are no images, or differ in size.
        ConfigError: An unknown split.
    """

    labels = LabelTable.load("pascal_context")
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
        voc = None if root is None else _voc_folder(given_path("data.root", root))
        if voc is None:
            return cls.labels
        return replace(cls.labels, values=(_FROM_MASKS if (voc / MASKS).is_dir() else _FROM_459).values)


def _find(root: Path, split: Split) -> tuple[list[Pair], Callable[[Path], Picture]]:
    voc = voc_folder(root)
    masks = voc / MASKS
    if masks.is_dir():
        own_list = voc / LISTS / f"{split}.txt"
        list_file = own_list if own_list.is_file() else voc / _MAIN_LISTS / f"{split}.txt"
        return _listed_pairs(voc, image_files(masks), list_file), _FROM_MASKS
    return official_pairs(root, split), decode_label_map


def voc_folder(root: Path) -> Path:
    """The folder ``VOC2010`` in a dataset's folder, or that folder itself.

    Raises:
        DataError: There is none.
    """
    folder = _voc_folder(root)
    if folder is None:
        raise no_layout(root, _NAME, _LAYOUTS)
    return folder


def _voc_folder(root: Path) -> Path | None:
    folders = (root, root / "VOC2010", root / "VOCdevkit" / "VOC2010")
    return next((folder for folder in folders if (folder / IMAGES).is_dir()), None)


def official_pairs(root: Path, split: Split) -> list[Pair]:
    """The official layout's images and label maps, in the order of VOC2010's list.

    Raises:
        DataError: The layout is not there, or files are missing.
    """
    voc = voc_folder(root)
    for folder in (root / _LABEL_MAPS, voc / _LABEL_MAPS):
        if folder.is_dir():
            return _listed_pairs(voc, mat_files(folder), voc / _MAIN_LISTS / f"{split}.txt")
    raise no_layout(root, _NAME, _LAYOUTS)


def _listed_pairs(voc: Path, masks: dict[str, Path], list_file: Path) -> list[Pair]:
    where = f"{_NAME} at {voc} (as listed in {list_file})"
    return match(image_files(voc / IMAGES), masks, read_image_list(list_file), where)


def decode_label_map(path: Path) -> Picture:
    """Decode an official label map to train ids, uint8 ``[H, W]``.

    Raises:
        DataError: The file is damaged, has no ``LabelMap``, or a value that is no class.
    """
    return _FROM_459.map(label_map(read_mat(path, "LabelMap"), "LabelMap", path), path)
