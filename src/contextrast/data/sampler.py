"""The order in which samples are read, and the keys that make their augmentation repeatable."""

from collections.abc import Iterator, Sized
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
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
    """One endless stream of `SampleKey`, a new order every epoch, shared out to the processes in turn.

    Sample number n of the stream is a function of (seed, n) alone: it belongs to epoch ``n // len(dataset)``. Each pass
    over the sampler yields one epoch's length, from `position` on. Whoever reads it moves on by `seek`, so that nothing
    is left out where an epoch does not divide into batches, and a resumed run goes on where it stopped.

    It derives from torch's ``DistributedSampler`` because Lightning replaces every other kind of sampler under DDP.
    ``set_epoch`` has no effect: Lightning's epoch count is not exact after a resume.

    Args:
        dataset: Anything with a length.
        seed: Seed of the order.
        num_replicas: Number of processes that share the stream.
        rank: This process among them.

    Attributes:
        position: Where the next pass starts in the stream, counted over all processes.
    """

    def __init__(self, dataset: Sized, *, seed: int = 0, num_replicas: int = 1, rank: int = 0) -> None:
        super().__init__(dataset, num_replicas=num_replicas, rank=rank, seed=seed)  # type: ignore[arg-type]  # len() is all it takes
        self.position = 0
        self._size = len(dataset)

    def __len__(self) -> int:
        return self._size // self.num_replicas

    def seek(self, position: int) -> None:
        """Has the next pass start there."""
        self.position = position

    def __iter__(self) -> Iterator[SampleKey]:
        start = self.position + self.rank
        order, order_epoch = self._order(start // self._size), start // self._size
        for place in range(start, start + len(self) * self.num_replicas, self.num_replicas):
            epoch, offset = divmod(place, self._size)
            if epoch != order_epoch:
                order, order_epoch = self._order(epoch), epoch
            yield SampleKey(epoch, int(order[offset]))

    def _order(self, epoch: int) -> NDArray[np.int64]:
        return np.random.default_rng((self.seed, epoch)).permutation(self._size)
