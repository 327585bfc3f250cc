"""Random draws that are the same on every machine: raw words of a counter-based generator."""

from collections.abc import Callable, Sequence
from itertools import chain
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")

_BLOCK = 512


class Chance:
    """A stream of draws that is a function of its key alone.

    Only numpy's raw Philox words are used: their sequence is fixed by the algorithm's publication (Salmon et al.,
    "Parallel random numbers: as easy as 1, 2, 3", 2011), while numpy's distributions may change between releases.

    Args:
        key: Non-negative integers that name the stream, for example seed, split and index.
    """

    def __init__(self, *key: int) -> None:
        words = np.random.SeedSequence(key).generate_state(2, np.uint64)
        self._philox = np.random.Philox(key=words)
        self.unit: Callable[[], float] = chain.from_iterable(iter(self._block, None)).__next__
        """Draws a number in [0, 1)."""

    def _block(self) -> list[float]:
        block: list[float] = ((self._philox.random_raw(_BLOCK) >> np.uint64(11)) * 2.0**-53).tolist()
        return block

    def uniform(self, low: float, high: float) -> float:
        """Draw a number in [low, high)."""
        return low + (high - low) * self.unit()

    def integer(self, low: int, high: int) -> int:
        """Draw an integer in low..high, both included."""
        return low + int((high - low + 1) * self.unit())

    def happens(self, probability: float) -> bool:
        """Draw whether something of this probability happens."""
        return self.unit() < probability

    def pick(self, options: Sequence[T]) -> T:
        """Draw one of several options, all equally likely."""
        return options[int(len(options) * self.unit())]

    def sign(self) -> int:
        """Draw -1 or 1."""
        return 1 if self.unit() < 0.5 else -1

    def bytes(self, *shape: int) -> NDArray[np.uint8]:
        """Draw an array of bytes.

        Returns:
            Uniform values 0..255 of the given shape.
        """
        count = int(np.prod(shape))
        words = self._philox.random_raw((count + 7) // 8).astype("<u8")
        return words.view(np.uint8)[:count].reshape(shape)
