"""Work on many files, in several processes and with a progress bar."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset

from contextrast.terminal import progress

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_processes(
    work: Callable[[Item], Result], items: Sequence[Item], processes: int, description: str
) -> Iterator[Result]:
    """Do the same with many items, in torch's loader processes, and show how far it is.

    Args:
        work: What to do with an item; every process gets one copy of it. An exception it raises ends the whole.
        items: What to do it with.
        processes: How many processes; 0 does it in this one.
        description: What stands before the progress bar.

    Yields:
        The results, in the order of the items.
    """
    own = torch.Generator()  # starting workers takes a draw
    loader = DataLoader(_Work(work, items), batch_size=None, num_workers=processes, collate_fn=_same, generator=own)
    yield from progress(loader, description, len(items))


class _Work(Dataset[Any]):
    def __init__(self, work: Callable[[Any], Any], items: Sequence[Any]) -> None:
        self.work = work
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Any:
        return self.work(self.items[index])


def _same(result: Any) -> Any:
    return result
