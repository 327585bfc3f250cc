"""Sums over the processes of a distributed training, so that a batch is the global one.

Losses come out scaled such that the average of the gradients over processes, which is what DDP takes, is the gradient
of the same loss in a single process with the whole batch. A single process communicates nothing.
"""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import FunctionCtx


def world_size() -> int:
    """Number of processes; 1 without a process group."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def first_image(batch: int) -> int:
    """Position in the global batch of this process's first image, for processes with ``batch`` images each."""
    return dist.get_rank() * batch if world_size() > 1 else 0


def sum_over_ranks(values: Tensor) -> Tensor:
    """Sum over processes; the gradient of every process's loss flows back to every process's values."""
    if world_size() == 1:
        return values
    total: Tensor = _SumOverRanks.apply(values)
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
    parts = [torch.empty_like(values) for _ in range(world_size())]
    dist.all_gather(parts, values.detach().contiguous())
    return torch.stack(parts)


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
