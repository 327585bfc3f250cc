"""What every dataset here is: pictures with a mask of train ids, read, checked and augmented in one way."""

from abc import ABC, abstractmethod
from copy import copy
from typing import Any, ClassVar, NotRequired, Protocol, Self, TypedDict

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch.utils.data import Dataset

from contextrast.data.arrays import RGB
from contextrast.data.decoding import Picture
from contextrast.data.drawing import as_rgb, sample_figure
from contextrast.data.labels import IGNORE_INDEX, LabelTable
from contextrast.data.sampler import SampleKey
from contextrast.errors import DataError


class Sample(TypedDict):
    """One sample of a dataset.

    Attributes:
        image: uint8 ``[C, H, W]``, RGB where there are three channels; normalised later, on the device.
        mask: Train ids 0..N-1 or `IGNORE_INDEX`, int64 ``[H, W]``.
        name: Short id, unique in its split.
        instances: Instance ids, int32 ``[H, W]``, where a dataset that has them is asked for them.
    """

    image: Tensor
    mask: Tensor
    name: str
    instances: NotRequired[Tensor]


class Transform(Protocol):
    """Augmentation of an image together with its mask; the same key gives the same result."""

    def __call__(self, image: Picture, mask: Picture, key: SampleKey) -> tuple[Picture, Picture]:
        """Return the changed image ``[h, w, C]`` and mask ``[h, w]``."""
        ...


class SegmentationDataset(Dataset[Sample], ABC):
    """Images with masks. A new dataset sets `labels` and implements `__len__`, `name`, `source` and `read`.

    Datasets of files derive from `FileDataset`, which implements all but `labels`.

    Attributes:
        labels: The classes; set on the class, so that they are known before a file is looked for.
        splits: The splits that the dataset is published with; any of them may be missing from a folder.
        transform: Augmentation; ``None`` leaves images at their original size.
        channels: Of the images, C.
        rgb: The channels that pictures show as red, green and blue; ``None``: the first three, see `as_rgb`.
        counted_images: In how many images, evenly spread over the training split, the classes' frequencies are counted
            where they are not known; None: all.
        withheld: Whether the labels are kept back by a benchmark, which takes predictions, see `submission`.

    Args:
        transform: See above.
    """

    labels: LabelTable
    splits: ClassVar[tuple[str, ...]] = ("train", "val", "test")
    withheld = False
    channels: int = RGB
    rgb: tuple[int, int, int] | None = None
    counted_images: ClassVar[int | None] = None

    def __init__(self, transform: Transform | None = None) -> None:
        self.transform = transform

    @abstractmethod
    def __len__(self) -> int: ...

    def stored_sizes(self) -> set[tuple[int, int]]:
        """Heights and widths of the samples as they are stored, where that is cheap to know; else an empty set."""
        return set()

    @abstractmethod
    def name(self, index: int) -> str:
        """Short id of a sample, unique in its split, usable as a file name."""

    @abstractmethod
    def source(self, index: int) -> str:
        """Where a sample's image comes from, for messages: a path, or ``"streets train #12"``."""

    @abstractmethod
    def read(self, index: int) -> tuple[Picture, Picture]:
        """Read one sample as it is.

        Returns:
            Image, uint8 ``[H, W, C]``, and train ids, uint8 ``[H, W]``.

        Raises:
            DataError: A file cannot be used.
        """

    @classmethod
    def labels_for(cls, **arguments: Any) -> LabelTable:  # noqa: ARG003  # for datasets whose classes depend on them
        """The classes that a dataset made with these constructor arguments has; no image is looked for."""
        return cls.labels

    def mask_source(self, index: int) -> str:
        """Where a sample's mask comes from, for messages."""
        return self.source(index)

    def absence_hint(self, ignored: float) -> str:  # noqa: ARG002  # for datasets that know a reason
        """Why a class may have no pixel, as a sentence for messages; empty if nothing is known.

        Args:
            ignored: Share of the pixels that are ignored.
        """
        return ""

    def submission(self, name: str, prediction: Picture) -> tuple[str, Picture]:
        """What a benchmark's server takes for one image of a split whose labels are withheld.

        Args:
            name: The sample's name.
            prediction: Train ids ``[H, W]`` at the image's original size.

        Returns:
            File name and pixels ``[H, W]`` of the image file to send.
        """
        raise NotImplementedError(f"{type(self).__name__} has no split whose labels are withheld")

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
        image, mask = self.read_checked(key.index)
        if self.transform is not None:
            image, mask = self.transform(image, mask, key)
        return Sample(
            image=torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))),
            mask=torch.from_numpy(mask.astype(np.int64)),
            name=self.name(key.index),
        )

    def mask(self, index: int) -> Picture:
        """Train ids of a sample without augmentation, uint8 ``[H, W]``.

        Raises:
            DataError: As reading the sample does.
        """
        return self.read_checked(index)[1]

    def shown(self, image: Picture) -> Picture:
        """An image ``[H, W, C]`` as pictures show it, RGB ``[H, W, 3]``."""
        return as_rgb(image, self.rgb)

    def picture(self, index: int) -> Picture:
        """Draw a sample without augmentation, pixel by pixel: image left, coloured mask right.

        Returns:
            RGB picture ``[H, 2 W, 3]``.
        """
        image, mask = self.read_checked(index)
        return np.concatenate([self.shown(image), self.labels.colorize(mask)], axis=1)

    def plot(self, index: int) -> Figure:
        """Draw a sample without augmentation: image, mask in the classes' colours, and a legend of what is in it.

        Returns:
            A figure, which a notebook shows and ``figure.savefig(path)`` writes.
        """
        image, mask = self.read_checked(index)
        return sample_figure(self.shown(image), mask, self.labels, self.name(index))

    def unaugmented(self) -> Self:
        """The same samples at their original sizes, as they are."""
        return self._with(transform=None)

    def pictured(self, rgb: tuple[int, int, int] | None) -> Self:
        """The same samples, of which pictures show these channels."""
        return self._with(rgb=rgb)

    def _with(self, **attributes: Any) -> Self:
        """A copy with other attributes; what both have is shared."""
        other = copy(self)
        vars(other).update(attributes)
        return other

    def read_checked(self, index: int) -> tuple[Picture, Picture]:
        """As `read`, once image and mask are known to fit each other and the classes.

        Raises:
            DataError: A file cannot be used, image and mask differ in size, or the mask holds an unknown value.
        """
        image, mask = self.read(index)
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
        return image, mask
