"""Cityscapes (Cordts et al., 2016): street scenes from 50 cities, 19 classes, with the benchmark server's format."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Literal, Self, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from typing_extensions import override

from contextrast.data.dataset import Sample, Transform
from contextrast.data.decoding import Picture
from contextrast.data.files import FileDataset, check_choice, check_parts, existing_folder, splits_found
from contextrast.data.labels import IGNORE_INDEX, LabelTable, read_table
from contextrast.data.masks import ValueMap, decode_indices
from contextrast.data.pairing import Pair, given_path, image_files, match
from contextrast.data.sampler import SampleKey
from contextrast.errors import ConfigError, DataError, MissingSplitError

Split = Literal["train", "val", "test"]
Encoding = Literal["auto", "label_ids", "train_ids"]

Part = Literal["fine", "coarse", "extra"]

_IMAGE: Final = "_leftImg8bit"
_LABEL_IDS, _COARSE_IDS = "_gtFine_labelIds", "_gtCoarse_labelIds"
TRAIN_IDS, _COARSE_TRAIN_IDS = "_gtFine_labelTrainIds", "_gtCoarse_labelTrainIds"
_ARCHIVES: Final = {"gtFine": "gtFine_trainvaltest.zip", "gtCoarse": "gtCoarse.zip"}
_PARTS: Final = {"fine": ("train", "gtFine"), "coarse": ("train", "gtCoarse"), "extra": ("train_extra", "gtCoarse")}
_LAYOUTS: Final = (
    "It has to hold leftImg8bit/SPLIT/CITY/*_leftImg8bit.png and gtFine/SPLIT/CITY/*_gtFine_labelIds.png, both also "
    "below folders named after their archives, leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip. These come "
    "from https://www.cityscapes-dataset.com/ after registration, for non-commercial use. What data.dataset.training "
    "adds, leftImg8bit/train_extra/ and gtCoarse/, comes from leftImg8bit_trainextra.zip and gtCoarse.zip. Name the "
    "folder by data.root=PATH."
)


_FROM_LABEL_IDS: Final = ValueMap(
    {label["id"]: label["train_id"] for label in read_table("cityscapes")["labels"] if label["id"] >= 0},  # -1: undrawn
    f"Files *{_LABEL_IDS}.png have label ids, 0..33. A file of train ids (0..18 and {IGNORE_INDEX}) has to be named "
    f"*{TRAIN_IDS}.png.",
    LabelTable.load("cityscapes").palette,
)
_FROM_TRAIN_IDS: Final = ValueMap(
    {**{train_id: train_id for train_id in range(19)}, IGNORE_INDEX: IGNORE_INDEX},
    f"Files *{TRAIN_IDS}.png have train ids, 0..18 and {IGNORE_INDEX}. A file of label ids (0..33) has to be named "
    f"*{_LABEL_IDS}.png.",
    LabelTable.load("cityscapes").palette,
)


class Cityscapes(FileDataset):
    """Cityscapes with its 19 evaluated classes; 2975 training, 500 validation and 1525 test images of 1024x2048.

    Layouts: the official one, ``leftImg8bit/SPLIT/CITY/`` and ``gtFine/SPLIT/CITY/``, and copies of it that keep the
    archives' names, ``leftImg8bit_trainvaltest/leftImg8bit/`` and ``gtFine_trainvaltest/gtFine/``. The split is the
    folder. The annotations of test are withheld: its masks are ignored everywhere, whatever files there are.

    Training may take coarse annotations, too, ``gtCoarse/SPLIT/CITY/*_gtCoarse_labelIds.png``; validation is always
    against fine ones.

    Args:
        root: The folder.
        split: ``"train"``, ``"val"`` or ``"test"``; only the files of this split have to exist.
        training: What the training split is made of: ``"fine"``, the 2975 images with fine annotations; ``"coarse"``,
            the same with coarse ones; ``"extra"``, the 19998 images of ``train_extra``, which have coarse ones alone.
        encoding: Which label files are read. ``"label_ids"``: ``*_gtFine_labelIds.png`` as distributed, mapped to
            train ids when read. ``"train_ids"``: ``*_gtFine_labelTrainIds.png``, which
            ``scripts/prepare_cityscapes.py`` or the official scripts write. ``"auto"``: train ids where an image has
            them, else label ids; the result is the same.
        label_root: Folder that holds ``gtFine/`` where it does not lie beside ``leftImg8bit/``.
        transform: Augmentation.

    Raises:
        DataError: The folder, the split or files of it are missing, are no images, or differ in size.
        ConfigError: An unknown split or encoding.
    """

    labels = replace(LabelTable.load("cityscapes"), values=_FROM_LABEL_IDS.values)
    _gives_instances = False

    def __init__(
        self,
        root: str | Path | None = None,
        split: Split = "train",
        training: Sequence[Part] = ("fine",),
        encoding: Encoding = "auto",
        label_root: str | Path | None = None,
        transform: Transform | None = None,
    ) -> None:
        check_choice("split", split, get_args(Split), "Cityscapes")
        check_choice("data.dataset.encoding", encoding, get_args(Encoding), "Cityscapes")
        folder = existing_folder(root, "Cityscapes", _LAYOUTS)
        self.split = split
        self.withheld = split == "test"
        self._annotations = part_folder(folder, "gtFine")
        pairs: list[Pair] = []
        for part, kind in _parts(training) if split == "train" else [(split, "gtFine")]:
            pairs += _pairs(folder, part, kind, encoding, label_root)
        super().__init__(pairs, _decode, transform)

    @override
    @classmethod
    def labels_for(cls, encoding: Encoding = "auto", **_: Any) -> LabelTable:
        """The classes; the values of masks are label ids, as distributed, where not only train ids are read."""
        return replace(cls.labels, values=_FROM_TRAIN_IDS.values) if encoding == "train_ids" else cls.labels

    @override
    def __getitem__(self, key: int | SampleKey) -> Sample:
        sample = super().__getitem__(key)
        if self._gives_instances:
            index = key.index if isinstance(key, SampleKey) else key
            sample["instances"] = torch.from_numpy(self.instances(index).astype(np.int32))
        return sample

    def with_instances(self) -> Self:
        """The same samples with their instance ids; for evaluation, since augmentation would leave them behind.

        Raises:
            DataError: There are no such files, as far as the first sample tells.
        """
        self.instances(0)
        return self._with(_gives_instances=True)

    def instances(self, index: int) -> NDArray[np.uint16]:
        """Read instance ids ``[H, W]``, which the instance-level IoU needs.

        Returns:
            Label id * 1000 + number of the instance; below 1000, the label id of what has no instances or is a group.

        Raises:
            DataError: There is no such file, as in test, or it cannot be used.
        """
        pair = self.pairs[index]
        if self.withheld:
            raise DataError(f"{pair.image} has no instances: the annotations of Cityscapes test are withheld.")
        path = self._annotations / self.split / pair.image.parent.name / f"{pair.name}_gtFine_instanceIds.png"
        if not path.is_file():
            raise DataError(
                f"{path} does not exist; instances are read from it. It is part of gtFine_trainvaltest.zip."
            )
        return decode_indices(path).astype(np.uint16)

    @override
    def submission(self, name: str, prediction: Picture) -> tuple[str, Picture]:
        """What the benchmark server takes for a test image: ``CITY_SEQUENCE_FRAME*.png``, in label ids."""
        return f"{name}_pred_labelIds.png", self.labels.in_files(prediction).astype(np.uint8)


def to_train_ids(path: Path) -> Picture:
    """Read a file of label ids (``*_gtFine_labelIds.png``) as train ids ``[H, W]``.

    Raises:
        DataError: The file cannot be decoded or has other values than 0..33.
    """
    return _FROM_LABEL_IDS(path)


def _decode(path: Path) -> Picture:
    return _FROM_TRAIN_IDS(path) if path.stem.endswith((TRAIN_IDS, _COARSE_TRAIN_IDS)) else _FROM_LABEL_IDS(path)


def part_folder(folder: Path, name: str, split: str = "") -> Path:
    """Where ``leftImg8bit``, ``gtFine`` or ``gtCoarse`` is, or would be.

    Args:
        folder: The dataset's folder.
        name: Of the part.
        split: What is to be in it. Where the archives' names are kept, it is one level down in one of them.
    """
    archived = (folder / archive / name for archive in (f"{name}_trainvaltest", f"{name}_trainextra", name))
    places = [place for place in (folder / name, *archived) if place.is_dir()]
    return next((place for place in places if (place / split).is_dir()), places[0] if places else folder / name)


def _parts(training: Sequence[Part]) -> list[tuple[str, str]]:
    """Folders of images and of annotations that make the training split.

    Raises:
        ConfigError: Unknown ones, none, or the same images twice.
    """
    given = list(training) if not isinstance(training, str) else [training]
    for part in given:
        check_choice("data.dataset.training", part, get_args(Part), "Cityscapes")
    parts = [_PARTS[part] for part in given]
    if not parts or len({images for images, _ in parts}) < len(parts):
        raise ConfigError(
            f"data.dataset.training=[{','.join(given)}] has to be a list of fine or coarse, which are the same images, "
            "and extra, such as [fine,extra]."
        )
    return parts


def _pairs(folder: Path, split: str, kind: str, encoding: Encoding, label_root: str | Path | None) -> list[Pair]:
    """Images of a folder of ``leftImg8bit`` with their annotations of a kind, ``gtFine`` or ``gtCoarse``."""
    pictures = part_folder(folder, "leftImg8bit", split)
    given = part_folder(
        folder if label_root is None else given_path("data.dataset.label_root", label_root), kind, split
    )
    needed = {"leftImg8bit": pictures}
    if split != "test":
        needed[kind if label_root is None else str(given)] = given
    check_parts(folder, needed, "Cityscapes", _LAYOUTS)
    images = _files(pictures / split, _IMAGE)
    if not images:
        raise MissingSplitError(
            f"Cityscapes has no split {split!r} at {folder}: no *{_IMAGE}.png in {pictures / split}/CITY/. "
            f"Splits found: {splits_found(pictures)}."
        )
    if split == "test":
        return [Pair(name, image, None) for name, image in images.items()]
    masks = _masks(given / split, kind, encoding)
    return match(images, masks, sorted(images.keys() | masks.keys()), f"Cityscapes {split} at {folder}")


def _files(split: Path, ending: str) -> dict[str, Path]:
    """Files of all cities by ``CITY_SEQUENCE_FRAME``, sorted by city and name."""
    cities = sorted(path for path in split.glob("[!.]*") if path.is_dir())
    files = (file for city in cities for file in image_files(city).items())
    return {stem.removesuffix(ending): path for stem, path in files if stem.endswith(ending)}


def _masks(split: Path, kind: str, encoding: Encoding) -> dict[str, Path]:
    labels, train_ids = (_LABEL_IDS, TRAIN_IDS) if kind == "gtFine" else (_COARSE_IDS, _COARSE_TRAIN_IDS)
    endings = {"auto": (labels, train_ids), "label_ids": (labels,), "train_ids": (train_ids,)}[encoding]
    masks = {name: path for ending in endings for name, path in _files(split, ending).items()}  # later ones win
    if not masks:
        raise DataError(
            f"No label files in {split}/CITY/: data.dataset.encoding={encoding} reads "
            f"{' and '.join(f'*{ending}.png' for ending in endings)}. *{labels}.png come with "
            f"{_ARCHIVES[kind]}, *{train_ids}.png are written by scripts/prepare_cityscapes.py (fine ones) or the "
            "official scripts."
        )
    return masks
