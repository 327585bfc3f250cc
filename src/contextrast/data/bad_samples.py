"""Samples that cannot be read: another one in their place, and a count of how many there may be."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from torch.utils.data import Dataset

from contextrast.data.sampler import SampleKey
from contextrast.errors import DataError

log = logging.getLogger(__name__)

_TRIES = 20  # samples in a row that are tried instead of a bad one


class Substitutes(Dataset[Any]):
    """Gives the next sample that can be read for one that cannot, and says why.

    Which one stands in is a function of the key alone, so that a resumed run sees the same.

    Args:
        dataset: Raises `DataError` for bad samples; asked with `SampleKey`.
    """

    def __init__(self, dataset: Dataset[Any]) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)  # type: ignore[arg-type]  # all of ours have a length

    def __getitem__(self, key: SampleKey) -> tuple[Any, dict[int, str]]:
        """Read a sample.

        Returns:
            The sample, and what was wrong with those that it stands for, by their position in the dataset.

        Raises:
            DataError: Too many samples in a row are bad.
        """
        bad: dict[int, str] = {}
        for distance in range(min(_TRIES, len(self))):
            index = (key.index + distance) % len(self)
            try:
                return self.dataset[SampleKey(key.epoch, index)], bad
            except DataError as error:
                bad[index] = str(error)
        raise DataError(f"{len(bad)} samples in a row cannot be read. The first one: {bad[key.index]}")


class SubstituteCollate:
    """Collates the samples, and what was wrong with those that they stand for.

    Args:
        collate: Makes a batch of samples.
    """

    def __init__(self, collate: Callable[[Sequence[Any]], Any]) -> None:
        self.collate = collate

    def __call__(self, items: Sequence[tuple[Any, dict[int, str]]]) -> tuple[Any, dict[int, str]]:
        """Return the batch, and the texts by position in the dataset."""
        return self.collate([sample for sample, _ in items]), {
            index: text for _, bad in items for index, text in bad.items()
        }


class BadSamples:
    """Counts the bad samples of a run, each of them once.

    Args:
        limit: How many there may be in each process.
        found: Positions in the dataset of those that were found before.
    """

    def __init__(self, limit: int, found: Iterable[int] = ()) -> None:
        self.limit = limit
        self.found = list(found)

    def add(self, bad: Mapping[int, str]) -> None:
        """Count those that are new, and warn of them.

        Raises:
            DataError: There are more than the limit.
        """
        for index, text in bad.items():
            if index in self.found:
                continue
            self.found.append(index)
            log.warning("Left out, %d of at most %d: %s", len(self.found), self.limit, text)
            if len(self.found) > self.limit:
                raise DataError(
                    f"More than data.max_bad_samples={self.limit} samples cannot be read. The last one: {text} "
                    "Mend them, or raise the limit."
                )
