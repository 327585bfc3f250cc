"""Reading a whole dataset to find out what is in it and what is wrong with it."""

import logging
from collections import Counter
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from contextrast.data.dataset import SegmentationDataset
from contextrast.data.files import FileDataset
from contextrast.data.labels import IGNORE_INDEX, LabelTable
from contextrast.data.parallel import in_processes
from contextrast.errors import DataError

log = logging.getLogger(__name__)

_SHOWN: Final = 10
_MOST_MASKS: Final = 2000  # that are looked through for absent classes: seconds to a minute
_AT_A_TIME: Final = 32


@dataclass(frozen=True)
class Inspection:
    """What was found in a split.

    Attributes:
        samples: Number of image-mask pairs, including those that cannot be used.
        sizes: How many usable pairs there are of each (height, width), the most common first.
        pixels: Labelled pixels of each class, int64 ``[N]``.
        ignored: Pixels that belong to no class.
        sums: Of the images' values 0..255 and of their squares by channel, int64 ``[2, C]``.
        problems: What is wrong, each with the path of its file.
        notes: What is to be looked at, likewise.
    """

    samples: int
    sizes: dict[tuple[int, int], int]
    pixels: NDArray[np.int64]
    ignored: int
    sums: NDArray[np.int64]
    problems: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @classmethod
    def unopened(cls, labels: LabelTable, problems: Collection[str]) -> Self:
        """Of a split that cannot be opened at all."""
        nothing: NDArray[np.int64] = np.zeros((2, 0), dtype=np.int64)
        return cls(0, {}, np.zeros(labels.num_classes, dtype=np.int64), 0, nothing, tuple(problems))

    @property
    def moments(self) -> tuple[list[float], list[float]]:
        """Mean and standard deviation of each channel over all pixels, in units of 0..1; empty where none was read."""
        mean, squared = self.sums / (255 * max(1, self.ignored + int(self.pixels.sum())))
        return mean.tolist(), np.sqrt(np.maximum(squared / 255 - mean**2, 0)).tolist()

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
            **dict(zip(("mean", "std"), self.moments, strict=True)),
            "problems": list(self.problems),
            "notes": list(self.notes),
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
    sums: NDArray[np.int64] = np.zeros((2, dataset.channels), dtype=np.int64)
    found = list(problems)
    read = range(len(dataset)) if indices is None else indices
    for result in in_processes(_Reader(dataset), read, processes, description):
        if isinstance(result, str):
            found.append(result)
        else:
            sizes[result.size] += 1
            pixels += result.pixels
            sums += result.sums
    classes, ignored = dataset.labels.num_classes, int(pixels[IGNORE_INDEX])
    return Inspection(len(read), dict(sizes.most_common()), pixels[:classes], ignored, sums, tuple(found))


def absent_classes(dataset: SegmentationDataset, pixels: NDArray[np.int64], ignored: int) -> str | None:
    """Say which classes have no pixel in a training split; None if all have one.

    Args:
        dataset: The split.
        pixels: Labelled pixels of each class ``[N]``.
        ignored: Pixels that belong to none.
    """
    absent = [name for name, count in zip(dataset.labels.classes, pixels, strict=True) if not count]
    if not absent:
        return None
    hint = dataset.absence_hint(ignored / max(1, ignored + int(pixels.sum())))
    return (
        f"The training split has no pixel of {', '.join(absent[:_SHOWN])}{', ...' if len(absent) > _SHOWN else ''}, "
        f"so nothing can be learned of it. {hint}{' ' if hint else ''}Mend masks or classes; "
        "data.allow_absent_classes=true takes them as they are."
    )


def check_classes_present(dataset: FileDataset) -> None:
    """Read masks of a training split until every class was seen, before anything is trained.

    Where all classes are common, a few masks are enough. Of a split in which a class cannot be found, up to 2000 masks
    are read, evenly spread; in a larger one it may be in another mask, which a warning says.

    Raises:
        DataError: A class has no pixel in all masks of the split.
    """
    read = min(len(dataset), _MOST_MASKS)
    order = np.random.default_rng(0).permutation(read)  # else the masks of one scene after the other
    indices = [int(place) * len(dataset) // read for place in order]
    pixels: NDArray[np.int64] = np.zeros(256, dtype=np.int64)
    classes = dataset.labels.num_classes
    with ThreadPoolExecutor(8) as pool:  # no loader: its processes would take a draw from the run's random numbers
        for start in range(0, read, _AT_A_TIME):
            for counts in pool.map(partial(_mask_counts, dataset), indices[start : start + _AT_A_TIME]):
                pixels += counts
            if pixels[:classes].all():
                return
    problem = absent_classes(dataset, pixels[:classes], int(pixels[IGNORE_INDEX]))
    if problem is None or not pixels.any():  # none can be read: reading says why
        return
    if read == len(dataset):
        raise DataError(problem)
    log.warning("In %d of %d masks: %s", read, len(dataset), problem)


def _mask_counts(dataset: FileDataset, index: int) -> NDArray[np.int64]:
    try:
        return np.bincount(dataset.train_ids(index).ravel(), minlength=256)
    except Exception:  # whatever it is, reading the sample says it
        return np.zeros(256, dtype=np.int64)


class _Seen(NamedTuple):
    """What a sample adds to an inspection: its size, and counts and sums as `Inspection` has them."""

    size: tuple[int, int]
    pixels: NDArray[np.int64]
    sums: NDArray[np.int64]


class _Reader:
    """Reads a sample: what it adds, or what is wrong with it."""

    def __init__(self, dataset: SegmentationDataset) -> None:
        self.dataset = dataset

    def __call__(self, index: int) -> _Seen | str:
        try:
            image, mask = self.dataset.read_checked(index)
        except DataError as error:
            return str(error)
        except Exception as error:  # a damaged file can make a decoder raise anything
            return f"{self.dataset.source(index)} or its mask cannot be read ({type(error).__name__}: {error})."
        height, width = mask.shape
        squares = np.einsum("hwc,hwc->c", image, image, dtype=np.int64)
        sums = np.stack([image.sum((0, 1), dtype=np.int64), squares])
        return _Seen((height, width), np.bincount(mask.ravel(), minlength=256), sums)
