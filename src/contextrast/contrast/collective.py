"""Sums over the processes of a distributed training, so that a batch is the global one.

Losses come out scaled such that the average of the gradients over processes, which is what DDP takes, is the gradient
of the same loss in a single process with the whole batch. A single process communicates nothing.

The global batch has the images of all processes in turn, the first one of each, then the second one of each, which is
how samplers share them out: it is the batch that a single process would have drawn from the same stream.
"""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import FunctionCtx

_DIGIT = 11  # bits of a value that are found at once


def world_size() -> int:
    """Number of processes; 1 without a process group."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Number of this process, 0 without a process group."""
    return dist.get_rank() if world_size() > 1 else 0


def global_images(batch: int, device: torch.device) -> Tensor:
    """Positions in the global batch of this process's images, ``[batch]`` int64; processes have equally many."""
    return torch.arange(batch, device=device) * world_size() + rank()


def sum_over_ranks(values: Tensor) -> Tensor:
    """Sum over processes; the gradient of every process's loss flows back to every process's values."""
    if world_size() == 1:
        return values
    total: Tensor = _SumOverRanks.apply(values)
    return total


def sum_for_equal_losses(values: Tensor) -> Tensor:
    """As :func:`sum_over_ranks`, where every process goes on to compute the same loss from the sum.

    The gradients of all processes' losses are then that of one times their number: the backward pass sends nothing.
    """
    if world_size() == 1:
        return values
    total: Tensor = _SumForEqualLosses.apply(values)
    return total


def any_over_ranks(mask: Tensor) -> Tensor:
    """Where a boolean mask is True on any process."""
    if world_size() == 1:
        return mask
    total = mask.to(torch.uint8)
    dist.all_reduce(total, dist.ReduceOp.MAX)
    return total.bool()


def gather_ranks(values: Tensor) -> Tensor:
    """Values of all processes without gradient, ``[R, ...]`` in the order of ranks."""
    if world_size() == 1:
        return values.detach().unsqueeze(0)
    values = values.detach().contiguous()  # first, as NCCL takes no other tensors, those that it fills included
    parts = [torch.empty_like(values) for _ in range(world_size())]
    dist.all_gather(parts, values)
    return torch.stack(parts)


def gather_images(values: Tensor) -> Tensor:
    """What every process has of each image, ``[B, ...]``, as that of the global batch, ``[R·B, ...]``, no gradient."""
    return gather_ranks(values).transpose(0, 1).flatten(0, 1)


def value_at(ordered: Tensor, position: Tensor) -> Tensor:
    """The value at a position of all processes' values in ascending order.

    Several processes find its bits from the highest down, eleven at a time: each counts its values below 2048
    candidates, and the last candidate with no more than ``position`` values below it is right so far. They send 16 kB
    three times for float32, however many values there are.

    Args:
        ordered: This process's values in ascending order, none negative, ``[P]`` float32 or float64.
        position: int64 scalar, 0 .. the number of all processes' values - 1.

    Returns:
        ``[1]``.
    """
    if world_size() == 1:
        return ordered.gather(0, position.view(1))
    integers, width = (torch.int32, 31) if ordered.dtype == torch.float32 else (torch.int64, 63)
    bits = ordered.view(integers)  # non-negative floats sort as the integers their bits spell
    steps = torch.arange(1 << _DIGIT, dtype=integers, device=ordered.device)
    value = torch.zeros(1, dtype=integers, device=ordered.device)
    for shift in range(width - _DIGIT, -_DIGIT, -_DIGIT):
        candidates = value + (steps << max(0, shift))
        below = sum_over_ranks(torch.searchsorted(bits, candidates))
        value = candidates.gather(0, (below <= position).sum().view(1) - 1)
    return value.view(ordered.dtype)


def logsumexp_over_ranks(values: Tensor) -> Tensor:
    """Log of the sum over processes of the exponentials; -inf where it is so on all of them."""
    if world_size() == 1:
        return values
    maximum = values.detach().clone()
    dist.all_reduce(maximum, dist.ReduceOp.MAX)
    some = maximum > -torch.inf
    shift = torch.where(some, maximum, 0)
    total = sum_over_ranks((values - shift).exp())
    return torch.where(some, torch.where(some, total, 1).log() + shift, -torch.inf)


class _SumOverRanks(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, values: Tensor) -> Tensor:  # noqa: ARG004
        total = values.detach().clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: FunctionCtx, *gradients: Any) -> Tensor:  # noqa: ARG004
        gradient: Tensor = gradients[0].clone(memory_format=torch.contiguous_format)
        dist.all_reduce(gradient)
        return gradient


class _SumForEqualLosses(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, values: Tensor) -> Tensor:  # noqa: ARG004
        total = values.detach().clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: FunctionCtx, *gradients: Any) -> Tensor:  # noqa: ARG004
        gradient: Tensor = gradients[0] * world_size()
        return gradient
