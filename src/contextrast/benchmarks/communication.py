"""What the processes of a distributed training send each other for each loss."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor
from torch.testing._internal.distributed.fake_pg import FakeStore
from torch.utils._python_dispatch import TorchDispatchMode

from contextrast.benchmarks.inputs import label_maps, stage_embeddings
from contextrast.benchmarks.losses import build_loss, maps_of
from contextrast.benchmarks.measuring import CONSOLE, table

_MB = 2**20


def communication(
    methods: Sequence[str], world_sizes: Sequence[int], num_classes: int, size: Sequence[int], batch_size: int
) -> dict[str, float]:
    """Collective calls and bytes of a step of each loss, by the number of processes; DDP's own are left out.

    One process runs the step of process 0 in a group that carries nothing, so any number of processes can be asked
    for. Bytes are those that a process sends where messages go round a ring, as they do between GPUs: 2·(R - 1)/R times
    the tensor for a sum over R processes, R - 1 times its own tensor where all get the tensors of all.

    The state is what the loss carries in buffers besides its heads. It is the same in all processes, so that nobody
    has to send it, but DDP broadcasts it at every step unless it is told not to.
    """
    numbers: dict[str, float] = {}
    headings = ("loss", "processes", "forward", "backward", "sent kB", "state MB")
    shown = table(
        f"Collective calls and bytes of a step, {num_classes} classes, {batch_size} images per process", *headings
    )
    for method in methods:
        for world in world_sizes:
            forward, backward, state = _step(method, world, num_classes, size, batch_size)
            sent = sum(call.sent(world) for call in (*forward, *backward))
            key = f"{method} {world}"
            numbers |= {
                f"{key} calls": len(forward) + len(backward),
                f"{key} bytes": sent,
                f"{key} state": state,
            }
            counts = (str(world), str(len(forward)), str(len(backward)))
            shown.add_row(method, *counts, f"{sent / 1024:.1f}", f"{state / _MB:.1f}")
    CONSOLE.print(shown)
    return numbers


class Call(NamedTuple):
    """A collective call.

    Attributes:
        name: Name of the operation, such as ``allreduce_``.
        size: Bytes of the tensors that this process takes part with.
    """

    name: str
    size: int

    def sent(self, world: int) -> float:
        """Bytes that a process sends in a ring of so many processes."""
        return {"allreduce_": 2 * (world - 1) / world, "allgather_": world - 1}[self.name] * self.size


class CollectiveCalls(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's stub
    """Collects all collective calls in ``calls``; a context manager."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # likewise
        self.calls: list[Call] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Note a call, and do it."""
        if func.namespace == "c10d":
            name = func.overloadpacket.__name__
            own: Sequence[Tensor] = args[1] if name == "allgather_" else args[0]
            self.calls.append(Call(name, sum(tensor.nbytes for tensor in own)))
        return func(*args, **(kwargs or {}))


@contextmanager
def silent_group(world: int, rank: int = 0) -> Iterator[None]:
    """A process group without the other processes: sums stay what this one has, gathers are copies of it."""
    dist.init_process_group("fake", store=FakeStore(), rank=rank, world_size=world)
    try:
        yield
    finally:
        dist.destroy_process_group()


def _step(
    method: str, world: int, num_classes: int, size: Sequence[int], batch_size: int
) -> tuple[list[Call], list[Call], int]:
    """Calls of the forward and of the backward pass, and bytes of the loss's state."""
    loss = build_loss(method, num_classes)
    height, width = size
    target, prediction = label_maps(batch_size, height, width, num_classes)
    logits = torch.zeros(batch_size, num_classes, height, width, requires_grad=True)
    embeddings = maps_of(method, stage_embeddings(batch_size, height // 4, width // 4))
    with silent_group(world):
        with CollectiveCalls() as forward:
            terms = loss.contrast(embeddings, target, prediction)
            total = loss.base(logits, target) + torch.stack(list(terms.values())).sum()
        with CollectiveCalls() as backward:
            total.backward()
            loss.update()
    state, heads = (sum(buffer.nbytes for buffer in module.buffers()) for module in (loss, loss.heads))
    return forward.calls, backward.calls, state - heads
