"""Datasets of files: what those with an image file and a mask file per sample have in common."""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Self

import numpy as np

from contextrast.data.arrays import RGB
from contextrast.data.cache import DecodedCache
from contextrast.data.dataset import SegmentationDataset, Transform
from contextrast.data.decoding import Picture, decode_image
from contextrast.data.depth import Range
from contextrast.data.labels import IGNORE_INDEX
from contextrast.data.orientation import Orientation
from contextrast.data.pairing import Pair, check_headers, given_path, header_sizes
from contextrast.errors import ConfigError, DataError, UnreadableError


class FileDataset(SegmentationDataset):
    """Images and masks in pairs of files. A new one sets `labels`, finds its pairs and says how a mask is decoded.

    Attributes:
        pairs: The files of the samples, in order.
        cache: Where decoded samples are kept; None for nowhere.
        tagged: The images that have an orientation tag.
        orientation: What such tags do.
        image_range: The values of images that become black and white.
        channels: Of the images.
        unreadable: The first file that was found not to be decodable, where some were tried; None if there is none.

    Args:
        pairs: Files; the header of each is read once, so that what is no image or has another size shows at once.
            Masks other than image files (``.mat``) are looked at when they are read.
        decode: Reads a mask file, to train ids uint8 ``[H, W]``; `decode_mask`, a `ValueMap`, or a function. Loader
            workers get a copy of it, so it has to be picklable.
        transform: Augmentation.
        image_range: The values of images that become black and white, see `checked_range`; None: those of 8 bits.
        channels: Of the images, see `decode_image`.

    Raises:
        DataError: Files that cannot be used.
    """

    def __init__(
        self,
        pairs: Sequence[Pair],
        decode: Callable[[Path], Picture],
        transform: Transform | None = None,
        image_range: Range | None = None,
        channels: int = RGB,
    ) -> None:
        super().__init__(transform)
        self.tagged = check_headers(pairs, channels)
        self.orientation: Orientation = "auto"
        self.image_range = image_range
        self.channels = channels
        self.unreadable: UnreadableError | None = None
        self.pairs = pairs
        self.cache: DecodedCache | None = None
        self._decode = decode

    def __len__(self) -> int:
        return len(self.pairs)

    def stored_sizes(self) -> set[tuple[int, int]]:
        """Heights and widths of the samples, from the headers of their files.

        Raises:
            DataError: If a file cannot be opened.
        """
        return header_sizes(self.pairs, self.channels)

    def name(self, index: int) -> str:
        """The pair's name, for example ``"0001TP_006690"``."""
        return self.pairs[index].name

    def source(self, index: int) -> str:
        """Path of the image."""
        return str(self.pairs[index].image)

    def mask_source(self, index: int) -> str:
        """Path of the mask; where there is none, of the image."""
        return str(self.pairs[index].mask or self.pairs[index].image)

    def read(self, index: int) -> tuple[Picture, Picture]:
        """Read image ``[H, W, C]`` and train ids ``[H, W]``; without a mask file, all pixels are ignored."""
        pair = self.pairs[index]
        if self.cache is None:
            return self._decoded(pair)
        files = [pair.image] if pair.mask is None else [pair.image, pair.mask]
        settings = (self._decode, self.orientation, self.image_range, self.channels)
        return self.cache.read(files, settings, self.channels, partial(self._decoded, pair))

    def train_ids(self, index: int) -> Picture:
        """Read the mask of a sample alone, uint8 ``[H, W]``.

        Raises:
            DataError: It cannot be used, or there is none.
        """
        mask = self.pairs[index].mask
        if mask is None:
            raise DataError(f"{self.pairs[index].image} has no mask.")
        return self._decode(mask)

    def cached(self, cache: DecodedCache | None) -> Self:
        """The same samples, kept in a cache once they are decoded."""
        return self._with(cache=cache)

    def oriented(self, orientation: Orientation) -> Self:
        """The same samples, with another rule for orientation tags; `check_orientation` says whether it fits."""
        return self._with(orientation=orientation)

    def _decoded(self, pair: Pair) -> tuple[Picture, Picture]:
        if pair.mask is None:
            image = decode_image(pair.image, None, self.orientation, self.image_range, self.channels)
            return image, np.full(image.shape[:2], IGNORE_INDEX, dtype=np.uint8)
        mask = self._decode(pair.mask)
        height, width = mask.shape
        size = height, width
        return decode_image(pair.image, size, self.orientation, self.image_range, self.channels), mask


def check_choice(key: str, value: str, known: Collection[str], dataset: str) -> None:
    """Raise a `ConfigError` if a setting is none of the known values, which it lists."""
    if value not in known:
        raise ConfigError(f"{key}={value} is unknown to {dataset}; choose one of {', '.join(known)}.")


def existing_folder(root: str | Path | None, dataset: str, layouts: str) -> Path:
    """The dataset's folder.

    Args:
        root: The setting ``data.root``.
        dataset: Name for messages: ``"CamVid"``.
        layouts: What the folder has to hold and where that comes from; ends every message.

    Raises:
        DataError: There is none.
        ConfigError: The setting is no path.
    """
    if root is None:
        raise DataError(f"{dataset} needs data.root, the folder it lies in. {layouts}")
    folder = given_path("data.root", root)
    if not folder.is_dir():
        raise DataError(f"The {dataset} folder {folder} does not exist. {layouts}")
    return folder


def no_layout(folder: Path, dataset: str, layouts: str) -> DataError:
    """The error for a folder that exists but holds none of the dataset's layouts."""
    state = "is empty" if not any(folder.iterdir()) else "holds none of its layouts"
    return DataError(f"The {dataset} folder {folder} {state}. {layouts}")


def check_parts(folder: Path, parts: Mapping[str, Path], dataset: str, layouts: str) -> None:
    """Check that the folders a layout consists of exist.

    Args:
        folder: The dataset's folder.
        parts: Paths by the name they have in messages: ``{"images": PATH, "annotations": PATH}``.
        dataset: Name for messages: ``"ADE20K"``.
        layouts: What the folder has to hold and where that comes from.

    Raises:
        DataError: Some of them are missing, or all.
    """
    there = [name for name, path in parts.items() if path.is_dir()]
    missing = [name for name in parts if name not in there]
    if not there:
        raise no_layout(folder, dataset, layouts)
    if missing:
        raise DataError(f"The {dataset} folder {folder} has {_folders(there)}, but no {_folders(missing)}. {layouts}")


def splits_found(folder: Path) -> str:
    """The folders in a folder, for messages."""
    return ", ".join(sorted(path.name for path in folder.glob("[!.]*") if path.is_dir())) or "none"


def _folders(names: Sequence[str]) -> str:
    return " and ".join(f"{name}/" for name in names)
