"""Reading a whole dataset to find out what is in it and what is wrong with it."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from contextrast.data.dataset import SegmentationDataset
from contextrast.data.labels import IGNORE_INDEX, LabelTable
from contextrast.data.parallel import in_processes
from contextrast.errors import DataError


@dataclass(frozen=True)
class Inspection:
    """What was found in a split.

    Attributes:
        samples: Number of image-mask pairs, including those that cannot be used.
        sizes: How many usable pairs there are of each (height, width), the most common first.
        pixels: Labelled pixels of each class, int64 ``[N]``.
        ignored: Pixels that belong to no class.
        problems: What is wrong, each with the path of its file.
    """

    samples: int
    sizes: dict[tuple[int, int], int]
    pixels: NDArray[np.int64]
    ignored: int
    problems: tuple[str, ...]

    @classmethod
    def unopened(cls, labels: LabelTable, problems: Collection[str]) -> Self:
        """Of a split that cannot be opened at all."""
        return cls(0, {}, np.zeros(labels.num_classes, dtype=np.int64), 0, tuple(problems))

    @property
    def frequencies(self) -> tuple[float, ...]:
        """Share of the labelled pixels that each class has; all 0 where there is none."""
        shares: list[float] = (self.pixels / max(1, int(self.pixels.sum()))).tolist()
        return tuple(shares)

    def to_dict(self) -> dict[str, Any]:
        """The same as plain containers; sizes are ``"WIDTHxHEIGHT"``, as messages have them."""
        return {
            "samples": self.samples,
            "sizes": {f"{width}x{height}": count for (height, width), count in self.sizes.items()},
            "pixels": self.pixels.tolist(),
            "ignored_pixels": self.ignored,
            "problems": list(self.problems),
        }


def inspect_split(
    dataset: SegmentationDataset,
    processes: int,
    description: str,
    problems: Collection[str] = (),
    indices: Sequence[int] | None = None,
) -> Inspection:
    """Read pairs of a split, not augmented; what is wrong with one does not keep the others from being read.

    Args:
        dataset: The split.
        processes: Processes that read; 0 reads in this one.
        description: What stands before the progress bar.
        problems: What is known to be wrong already.
        indices: The pairs to read; all if not given.
    """
    pixels: NDArray[np.int64] = np.zeros(256, dtype=np.int64)
    sizes: Counter[tuple[int, int]] = Counter()
    found = list(problems)
    read = range(len(dataset)) if indices is None else indices
    for result in in_processes(_Reader(dataset), read, processes, description):
        if isinstance(result, str):
            found.append(result)
        else:
            size, counts = result
            sizes[size] += 1
            pixels += counts
    classes = dataset.labels.num_classes
    return Inspection(len(read), dict(sizes.most_common()), pixels[:classes], int(pixels[IGNORE_INDEX]), tuple(found))


class _Reader:
    """Reads a sample: its size and histogram, or what is wrong with it."""

    def __init__(self, dataset: SegmentationDataset) -> None:
        self.dataset = dataset

    def __call__(self, index: int) -> tuple[tuple[int, int], NDArray[np.int64]] | str:
        try:
            mask = self.dataset.mask(index)
        except DataError as error:
            return str(error)
        except Exception as error:  # a damaged file can make a decoder raise anything
            return f"{self.dataset.source(index)} or its mask cannot be read ({type(error).__name__}: {error})."
        height, width = mask.shape
        return (height, width), np.bincount(mask.ravel(), minlength=256)
