"""Operations on the rows of large matrices (pixels × D) that keep no copy of the matrix.

Written out of elementary operations, each would leave several matrices of that size to be stored for the backward
pass; at D = 256 such a matrix is larger than what most networks store of a stage.
"""

from typing import Any

import torch
from torch import Tensor

from contextrast.contrast.segments import Bags

_CHUNK_ROWS = {"cpu": 1 << 12}  # rows whose temporaries stay in a core's cache
_CHUNK_ROWS_DEVICE = 1 << 16  # elsewhere: few launches, temporaries of at most 64 MB at D = 256
_FEW = 1 << 12  # rows of which a temporary does not matter
_SUM = 0  # what embedding bags call mode="sum"

SHORTEST = 1e-12
"""What shorter vectors are divided by, as in ``torch.nn.functional.normalize``."""


def at_least_float32(tensor: Tensor) -> Tensor:
    """Raise half precision to float32; float32 and float64 pass unchanged."""
    return tensor if tensor.dtype in (torch.float32, torch.float64) else tensor.float()


def unit_length(vectors: Tensor, dim: int) -> Tensor:
    """Divide by the L2 norm along ``dim``; half precision is raised to float32 first, zero vectors stay zero.

    Vectors shorter than 1e-12 get no gradient.

    Returns:
        The shape of ``vectors``, laid out with ``dim`` innermost (channels last, for the channels of an image).
    """
    rows = vectors.movedim(dim, -1)
    unit, _ = _UnitRows.apply(rows.flatten(0, -2))
    laid_out: Tensor = unit.view(rows.shape).movedim(-1, dim)
    return laid_out


def chunks(rows: Tensor) -> list[slice]:
    """Rows at a time whose temporaries are small."""
    if torch.compiler.is_compiling():
        return [slice(0, rows.shape[0])]  # the compiler fuses by itself
    size = _CHUNK_ROWS.get(rows.device.type, _CHUNK_ROWS_DEVICE)
    return [slice(start, start + size) for start in range(0, rows.shape[0], size)]


def dots_of_rows(rows: Tensor, table: Tensor, index: Tensor | None) -> Tensor:
    """Dot products of rows ``[P, D]`` with the table's rows that an index ``[P, K]`` names, ``[P, K]``, no gradient.

    Without an index, of each row with the table's row at its place, ``[P, 1]``.

    They are the derivative of an embedding bag by its weights, for which PyTorch has a kernel on every device that
    gathers, multiplies and adds in one pass and without a temporary.
    """
    number = 1 if index is None else index.shape[1]
    places = torch.arange(len(rows) * number, device=rows.device)
    bags = places // number if number > 1 else places
    named = places if index is None else index.flatten()
    dots: Tensor = torch.ops.aten._embedding_bag_per_sample_weights_backward(rows, table, named, bags, bags, _SUM)
    return dots.view(-1, number)


def sums_of_rows(rows: Tensor, weights: Tensor, bags: Bags, size: int) -> Tensor:
    """Weighted sums of the rows of each segment, ``[size, D]`` in the weights' dtype, no gradient.

    Args:
        rows: ``[P, D]``; of half precision they are added up in float32.
        weights: Of each slot of the bags.
        bags: What is summed.
        size: Number of segments.
    """
    scale = None
    if rows.dtype != weights.dtype:  # half precision, which cannot hold the weights of a gradient
        scale = weights.abs().amax().clamp_min(torch.finfo(weights.dtype).tiny)
        weights = (weights / scale).to(rows.dtype)
    sums, *_ = torch.embedding_bag(rows, bags.rows, bags.begins, per_sample_weights=weights, mode=_SUM)
    if scale is not None:
        sums = sums.to(scale.dtype) * scale
    return sums.new_zeros(size, rows.shape[1]).index_add(0, bags.segments, sums)


class _UnitRows(torch.autograd.Function):
    """Keeps the result and a norm a row for the backward pass, where autograd would keep more matrices."""

    @staticmethod
    def forward(rows: Tensor) -> tuple[Tensor, Tensor]:
        if rows.shape[0] <= _FEW and rows.dtype in (torch.float32, torch.float64):
            norms = torch.linalg.vector_norm(rows, dim=1, keepdim=True).clamp_min_(SHORTEST)
            return rows / norms, norms
        dtype = torch.promote_types(rows.dtype, torch.float32)
        unit, norms = rows.new_empty(rows.shape, dtype=dtype), rows.new_empty(rows.shape[0], 1, dtype=dtype)
        for part in chunks(rows):
            block = unit[part].copy_(rows[part])
            norms[part] = torch.linalg.vector_norm(block, dim=1, keepdim=True).clamp_min(SHORTEST)
            block.div_(norms[part])
        return unit, norms

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: tuple[Tensor, Tensor]) -> None:
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(*output)
        ctx.dtype = inputs[0].dtype  # torch's way to keep it for the backward pass

    @staticmethod
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> Tensor:
        unit, norms = ctx.saved_tensors
        if unit.shape[0] <= _FEW and unit.dtype == ctx.dtype:
            along = (grad * unit).sum(1, keepdim=True)
            small: Tensor = torch.addcmul(grad, unit, along, value=-1) * (norms > SHORTEST) / norms
            return small
        grad_rows = torch.empty_like(unit, dtype=ctx.dtype)
        for part in chunks(unit):
            along = dots_of_rows(grad[part], unit[part], None)
            # That of a division by 1e-12 would be beyond all measure.
            inverse = torch.where(norms[part] > SHORTEST, norms[part].reciprocal(), 0)
            grad_rows[part] = torch.addcmul(grad[part], unit[part], along, value=-1) * inverse
        return grad_rows
