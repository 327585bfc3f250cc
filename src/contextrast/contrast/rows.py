"""Operations on the rows of large matrices (pixels × D) that keep no copy of the matrix.

Written out of elementary operations, each would leave several matrices of that size to be stored for the backward
pass; at D = 256 such a matrix is larger than what most networks store of a stage.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

_CHUNK_ROWS = {"cpu": 1 << 12}  # rows whose temporaries stay in a core's cache
_CHUNK_ROWS_DEVICE = 1 << 16  # elsewhere: few launches, temporaries of at most 64 MB at D = 256
_SUM = 0  # what embedding bags call mode="sum"
_SHORTEST = 1e-12  # as in torch.nn.functional.normalize


def at_least_float32(tensor: Tensor) -> Tensor:
    """Raise half precision to float32; float32 and float64 pass unchanged."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


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


def gathered_dots(rows: Tensor, anchors: Tensor, index: Tensor) -> Tensor:
    """Dot products of every row with the anchors its indices name, without storing gathered anchors.

    Args:
        rows: ``[P, D]``.
        anchors: ``[N, D]``.
        index: ``[P, K]`` int64 in 0 .. N; N gives 0.

    Returns:
        ``[P, K]``.
    """
    padded = torch.cat([anchors, anchors.new_zeros(1, anchors.shape[1])])
    dots: Tensor = _GatheredDots.apply(rows, padded, index)
    return dots


def _chunks(rows: Tensor) -> list[slice]:
    if torch.compiler.is_compiling():
        return [slice(0, rows.shape[0])]  # the compiler fuses by itself
    size = _CHUNK_ROWS.get(rows.device.type, _CHUNK_ROWS_DEVICE)
    return [slice(start, start + size) for start in range(0, rows.shape[0], size)]


def _dots(rows: Tensor, table: Tensor, index: Tensor) -> Tensor:
    """``[P, K]`` dot products of rows ``[P, D]`` with the table's rows that ``index`` ``[P, K]`` names.

    They are the derivative of an embedding bag by its weights, for which PyTorch has a kernel on every device that
    gathers, multiplies and adds in one pass and without a temporary.
    """
    bags = torch.arange(index.shape[0], device=index.device)
    bag_of_each = bags.unsqueeze(1).expand_as(index).flatten().contiguous()  # of one column flatten gives a view
    dots: Tensor = torch.ops.aten._embedding_bag_per_sample_weights_backward(
        rows, table, index.flatten(), bags * index.shape[1], bag_of_each, _SUM
    )
    return dots.view(index.shape)


class _UnitRows(torch.autograd.Function):
    """Keeps the result and a norm a row for the backward pass, where autograd would keep more matrices."""

    @staticmethod
    def forward(rows: Tensor) -> tuple[Tensor, Tensor]:
        dtype = torch.promote_types(rows.dtype, torch.float32)
        unit, norms = rows.new_empty(rows.shape, dtype=dtype), rows.new_empty(rows.shape[0], 1, dtype=dtype)
        for part in _chunks(rows):
            block = unit[part].copy_(rows[part])
            norms[part] = torch.linalg.vector_norm(block, dim=1, keepdim=True).clamp_min(_SHORTEST)
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
        grad_rows = torch.empty_like(unit, dtype=ctx.dtype)
        for part in _chunks(unit):
            each = torch.arange(grad[part].shape[0], device=grad.device).unsqueeze(1)
            along = _dots(grad[part], unit[part], each)
            # That of a division by 1e-12 would be beyond all measure.
            inverse = torch.where(norms[part] > _SHORTEST, norms[part].reciprocal(), 0)
            grad_rows[part] = torch.addcmul(grad[part], unit[part], along, value=-1) * inverse
        return grad_rows


class _GatheredDots(torch.autograd.Function):
    """Keeps the operands only; the rows' gradient is an embedding bag, Σ_k weight_k·anchor_k."""

    @staticmethod
    def forward(rows: Tensor, anchors: Tensor, index: Tensor) -> Tensor:
        return _dots(rows, anchors, index)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:  # noqa: ARG004
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        rows, anchors, index = ctx.saved_tensors
        grad = grad.contiguous()
        grad_rows = F.embedding_bag(index, anchors, per_sample_weights=grad, mode="sum")
        grad_anchors = torch.zeros_like(anchors)
        for part in _chunks(rows):
            for which, weight in zip(index[part].unbind(1), grad[part].unsqueeze(2).unbind(1), strict=True):
                grad_anchors.index_add_(0, which, rows[part] * weight)
        return grad_rows, grad_anchors, None
