"""What every dataset here is: pictures with a mask of train ids, read, checked and augmented in one way."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Protocol, TypedDict

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from contextrast.data.labels import IGNORE_INDEX, LabelTable
from contextrast.data.sampler import SampleKey
from contextrast.errors import DataError

Picture = NDArray[np.uint8]
"""RGB image ``[H, W, 3]`` or mask of train ids ``[H, W]``, 0..255."""


class Sample(TypedDict):
    """One sample of a dataset.

    Attributes:
        image: RGB, uint8 ``[3, H, W]``; normalised later, on the device.
        mask: Train ids 0..N-1 or `IGNORE_INDEX`, int64 ``[H, W]``.
        name: Short id, unique in its split.
    """

    image: Tensor
    mask: Tensor
    name: str


class Transform(Protocol):
    """Augmentation of an image together with its mask; the same key gives the same result."""

    def __call__(self, image: Picture, mask: Picture, key: SampleKey) -> tuple[Picture, Picture]:
        """Returns the changed image ``[h, w, 3]`` and mask ``[h, w]``."""
        ...


class SegmentationDataset(Dataset[Sample], ABC):
    """Images with masks. A new dataset sets `labels` and implements `__len__`, `name`, `source` and `read`.

    Attributes:
        labels: The classes; set on the class, so that they are known before a file is looked for.
        transform: Augmentation; ``None`` leaves images at their original size.

    Args:
        transform: See above.
    """

    labels: LabelTable

    def __init__(self, transform: Transform | None = None) -> None:
        self.transform = transform

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def name(self, index: int) -> str:
        """Short id of a sample, unique in its split, usable as a file name."""

    @abstractmethod
    def source(self, index: int) -> str:
        """Where a sample's image comes from, for messages: a path, or ``"streets train #12"``."""

    @abstractmethod
    def read(self, index: int) -> tuple[Picture, Picture]:
        """Reads one sample as it is.

        Returns:
            Image, RGB uint8 ``[H, W, 3]``, and train ids, uint8 ``[H, W]``.

        Raises:
            DataError: A file cannot be used.
        """

    def mask_source(self, index: int) -> str:
        """Where a sample's mask comes from, for messages."""
        return self.source(index)

    def __getitem__(self, key: int | SampleKey) -> Sample:
        """Reads, checks and augments a sample.

        Args:
            key: From a sampler, epoch and index; a plain index stands for epoch 0.

        Raises:
            DataError: A file cannot be used, image and mask differ in size, or the mask holds an unknown value.
        """
        if not isinstance(key, SampleKey):
            key = SampleKey(0, key)
        if not 0 <= key.index < len(self):  # plain iteration over a dataset ends by this IndexError
            raise IndexError(f"sample {key.index} of {len(self)}")
        image, mask = self.read(key.index)
        self._check(key.index, image, mask)
        if self.transform is not None:
            image, mask = self.transform(image, mask, key)
        return Sample(
            image=torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))),
            mask=torch.from_numpy(mask.astype(np.int64)),
            name=self.name(key.index),
        )

    def plot(self, index: int) -> Picture:
        """Draws a sample without augmentation: image left, coloured mask right.

        Returns:
            RGB picture ``[H, 2 W, 3]``.
        """
        image, mask = self.read(index)
        self._check(index, image, mask)
        return np.concatenate([image, self.labels.colorize(mask)], axis=1)

    def _check(self, index: int, image: Picture, mask: Picture) -> None:
        if image.shape[:2] != mask.shape:
            sizes = [f"{shape[1]}x{shape[0]}" for shape in (image.shape, mask.shape)]
            raise DataError(
                f"Image and mask differ in size: {self.source(index)} is {sizes[0]} (width x height), "
                f"{self.mask_source(index)} is {sizes[1]}. Replace one of them; they are never resized to fit."
            )
        # Adding 1 wraps the ignore index round to 0, so that one maximum checks all pixels.
        if (mask + np.uint8(1)).max() > self.labels.num_classes:
            values = [str(value) for value in np.unique(mask) if self.labels.num_classes <= value < IGNORE_INDEX]
            raise DataError(
                f"{self.mask_source(index)} has the value(s) {', '.join(values[:10])}, which are neither a class of "
                f"{self.labels.name} (0..{self.labels.num_classes - 1}) nor ignored ({IGNORE_INDEX}). "
                "Check that the mask belongs to this dataset and layout."
            )


def decode_image(path: Path) -> Picture:
    """Decodes an image file to RGB.

    Args:
        path: Any format that pillow reads, 8 bits a channel.

    Returns:
        RGB uint8 ``[H, W, 3]``.

    Raises:
        DataError: The file is missing, truncated, no image, or has more than 8 bits a channel.
    """
    pixels = _decode(path, "RGB")
    if pixels.ndim != 3 or pixels.dtype != np.uint8:
        raise DataError(f"{path} is not an image of 8 bits a channel; convert it to 8-bit RGB.")
    return pixels


def decode_mask(path: Path) -> Picture:
    """Decodes a mask of one index a pixel (8-bit grey or palette file; a palette's colours are not looked at).

    Returns:
        The file's indices, uint8 ``[H, W]``.

    Raises:
        DataError: The file is missing, truncated, no image, or not single-channel with 8 bits.
    """
    pixels = _decode(path, None)
    if pixels.ndim != 2 or pixels.dtype != np.uint8:
        raise DataError(
            f"{path} is not an index mask (one channel of 8 bits): it decodes to {pixels.shape} {pixels.dtype}."
        )
    return pixels


def _decode(path: Path, mode: str | None) -> Picture:
    try:
        with Image.open(path) as file:
            wide = file.mode.startswith(("I", "F"))  # pillow would clip 16-bit values silently
            return np.asarray(file if mode is None or wide else file.convert(mode))
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist.") from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        # pillow reports a damaged PNG as a SyntaxError
        raise DataError(f"{path} cannot be decoded ({error}). It is truncated or no image: fetch it again.") from error
