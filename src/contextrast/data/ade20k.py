"""ADE20K as released for scene parsing (Zhou et al., 2017; SceneParse150): 150 classes, in- and outdoors."""

from dataclasses import replace
from pathlib import Path
from typing import Final, Literal, get_args

from contextrast.data.dataset import Transform
from contextrast.data.files import FileDataset, check_choice, check_parts, existing_folder, splits_found
from contextrast.data.labels import IGNORE_INDEX, LabelTable
from contextrast.data.masks import ValueMap
from contextrast.data.pairing import image_files, match
from contextrast.errors import MissingSplitError

Split = Literal["train", "val"]

_FOLDERS: Final = {"train": "training", "val": "validation"}
_LAYOUTS: Final = (
    "It has to hold images/{training,validation}/*.jpg and annotations/{training,validation}/*.png, as in "
    "ADEChallengeData2016.zip (also one level up from its folder), which comes from "
    "http://sceneparsing.csail.mit.edu/ for non-commercial research. The full ADE20K with its *_seg.png files is "
    "another dataset. Name the folder by data.root=PATH."
)
_VALUES: Final = ValueMap(
    {0: IGNORE_INDEX} | {value: value - 1 for value in range(1, 151)},
    "Masks of ADEChallengeData2016 have 0 for what is not evaluated and 1..150 for the classes.",
    LabelTable.load("ade20k").palette,
)


class ADE20K(FileDataset):
    """ADE20K with the 150 classes of the scene parsing challenge; 20210 training and 2000 validation images.

    The layout is that of ``ADEChallengeData2016``; masks have 0 for what is not evaluated and 1..150 for the classes.
    Images vary in size. The test images are not part of it and have no labels.

    Args:
        root: The folder, or the one that holds ``ADEChallengeData2016/``.
        split: ``"train"`` or ``"val"``; only the files of this split have to exist.
        transform: Augmentation.

    Raises:
        DataError: The folder, the split or files of it are missing, are no images, or differ in size.
        ConfigError: An unknown split.
    """

    labels = replace(LabelTable.load("ade20k"), values=_VALUES.values)
    splits = get_args(Split)

    def __init__(
        self, root: str | Path | None = None, split: Split = "train", transform: Transform | None = None
    ) -> None:
        check_choice("split", split, self.splits, "ADE20K")
        folder = existing_folder(root, "ADE20K", _LAYOUTS)
        inner = folder / "ADEChallengeData2016"
        base = inner if inner.is_dir() else folder
        check_parts(folder, {name: base / name for name in ("images", "annotations")}, "ADE20K", _LAYOUTS)
        images = image_files(base / "images" / _FOLDERS[split])
        masks = image_files(base / "annotations" / _FOLDERS[split])
        if not images and not masks:
            raise MissingSplitError(
                f"ADE20K has no split {split!r} at {base}: no files in images/{_FOLDERS[split]}/ and none in "
                f"annotations/{_FOLDERS[split]}/. Folders found: {splits_found(base / 'images')}."
            )
        pairs = match(images, masks, sorted(images.keys() | masks.keys()), f"ADE20K {split} at {base}")
        super().__init__(pairs, _VALUES, transform)
