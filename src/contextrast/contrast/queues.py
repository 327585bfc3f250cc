"""First-in-first-out queues of past embeddings, one a class, as the memories hold them."""

from typing import NamedTuple

import torch
from torch import Tensor


class Entries(NamedTuple):
    """What a step stores.

    Attributes:
        embeddings: ``[N, E, D]``, in the order of storing.
        valid: Which of them there are, boolean ``[N, E]``.
    """

    embeddings: Tensor
    valid: Tensor


def filled(stored: Tensor, slots: int) -> Tensor:
    """Which slots of queues hold an entry, boolean ``[..., slots]``, by how many each has ever got, ``[...]``."""
    return torch.arange(slots, device=stored.device) < stored.unsqueeze(-1)


def push(queues: Tensor, stored: Tensor, entries: Entries) -> None:
    """Put entries into the queues in place, where the oldest ones make room; no copy of the queues is made.

    Args:
        queues: ``[N, K, D]``.
        stored: How many entries each queue has ever got, ``[N]`` int64; modulo K it is the next slot.
        entries: What is pushed; of more than K at once the last K.
    """
    size, slots, width = queues.shape
    last = entries.valid.byte().sort(dim=1, stable=True).indices[:, -slots:]  # valid ones last, in their order
    valid = entries.valid.gather(1, last)
    kept = valid.sum(1, keepdim=True)
    number = entries.valid.sum(1)
    # Every entry gets a slot of its own, also one that is not valid: it writes back what the slot holds.
    offset = torch.where(valid, valid.cumsum(1) - 1, kept + torch.arange(last.shape[1], device=last.device))
    slot = ((stored + number).unsqueeze(1) - kept + offset) % slots
    slot = (slot + slots * torch.arange(size, device=slot.device).unsqueeze(1)).flatten()
    new = entries.embeddings.gather(1, last.unsqueeze(2).expand(-1, -1, width)).to(queues.dtype).flatten(0, 1)
    flat = queues.view(size * slots, width)
    flat.index_copy_(0, slot, torch.where(valid.view(-1, 1), new, flat[slot]))
    stored += number
