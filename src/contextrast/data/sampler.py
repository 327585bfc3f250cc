"""The order in which samples are read, and the keys that make their augmentation repeatable."""

from collections.abc import Iterator, Sized
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch.utils.data import DistributedSampler


@dataclass(frozen=True, slots=True)
class SampleKey:
    """What a sample is asked for by: its augmentation depends on this key alone, not on who reads it or when.

    Attributes:
        epoch: How often the data has been passed before.
        index: Position in the dataset.
    """

    epoch: int
    index: int


class EpochSampler(DistributedSampler[Any]):
    """Yields a `SampleKey` a sample, in an order that is a function of (seed, epoch).

    It derives from torch's ``DistributedSampler`` because Lightning leaves those as they are under DDP and tells them
    the epoch (``set_epoch``), also when a run is resumed.

    Args:
        dataset: Anything with a length.
        shuffle: Draw a new order every epoch; otherwise 0, 1, 2, ...
        seed: Seed of the order.
        num_replicas: Number of processes that share the dataset.
        rank: This process among them.
    """

    def __init__(self, dataset: Sized, *, shuffle: bool, seed: int = 0, num_replicas: int = 1, rank: int = 0) -> None:
        super().__init__(
            dataset,  # type: ignore[arg-type]  # torch's annotation asks for a Dataset, its code for a length
            num_replicas=num_replicas,
            rank=rank,
            shuffle=shuffle,
            seed=seed,
            drop_last=shuffle,
        )
        self._length = len(dataset)

    def __iter__(self) -> Iterator[SampleKey]:
        order = np.arange(self._length)
        if self.shuffle:
            order = np.random.default_rng((self.seed, self.epoch)).permutation(self._length)
        order = np.resize(order, self.total_size)  # cuts when shuffled, otherwise fills up from the start
        for index in order[self.rank : self.total_size : self.num_replicas]:
            yield SampleKey(self.epoch, int(index))
