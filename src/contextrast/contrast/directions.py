"""Embeddings of any length, of which only the direction counts, without a normalised copy of them.

Pixels stay what a convolution left; beside them there is one inverse norm for each, in float32, by which sums and dot
products are scaled. Whatever is made of the directions is linear in them, so that the pixels' gradient is made once, of
few vectors and some weights for each pixel, and the part along the pixel, which changes no direction, is taken off.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from contextrast.contrast.products import products_of
from contextrast.contrast.rows import SHORTEST
from contextrast.contrast.segments import Bags


class Directions:
    """The directions of pixels; a pixel shorter than 1e-12 gets no gradient.

    Args:
        pixels: Rows ``[P, D]``, or planes ``[B, D, P / B]``.
        segments: Segment of each pixel, ``[P]`` int64; S leaves one out of the sums.
        num_segments: S.
        bags: The segments' bags where pixels are rows; with a second column where pixels are compared by index.
        compared: Besides its own segment's, the vector that each pixel is compared with, ``[P]`` int64, S for none;
            None if each is compared with all.

    Attributes:
        sums: Sum of the directions of each segment, ``[S, D]`` in at least float32.
    """

    def __init__(
        self, pixels: Tensor, segments: Tensor, num_segments: int, bags: Bags | None, compared: Tensor | None = None
    ) -> None:
        self._index = segments.unsqueeze(1) if compared is None else torch.stack([segments, compared], 1)
        self._bags, first = bags or (), bags
        if bags is not None and compared is not None:
            first = bags.of_first_column(2)
        self._by_index = compared is not None
        self.sums, self._inverse, *self._handles = _Sums.apply(
            pixels, self._index, num_segments, self._by_index, *(first or ())
        )
        self._pixels = pixels.detach()

    def compare(self, vectors: Tensor) -> Tensor:
        """Dot products with vectors ``[S, D]``: ``[P, 2]`` with the two of each pixel, 0 for none, or ``[P, S]``.

        They are taken once, since their gradient is made together with that of the sums.
        """
        dots: Tensor = _Dots.apply(
            *self._handles, vectors, self._pixels, self._inverse, self._index, self._by_index, *self._bags
        )
        return dots


class _Sums(torch.autograd.Function):
    """Sums of directions by segment, and where the gradient of the directions comes together.

    Two more outputs stand for the directions in :class:`_Dots`: zeros without memory, whose gradients are the weights
    and the vectors that the directions' gradient is made of. That has the pixels' size, and is never there as such.
    """

    @staticmethod
    def forward(
        ctx: Any, pixels: Tensor, index: Tensor, num_segments: int, by_index: bool, *bags: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        products = products_of(pixels)
        inverse = products.inverse_norms()
        of_bags = Bags(*bags) if bags else None
        sums = products.sums(index[:, :1], inverse.unsqueeze(1), of_bags, num_segments + 1)[:-1]
        zero = inverse.new_zeros(())
        weights = zero.expand(len(inverse), index.shape[1] if by_index else num_segments)
        vectors = zero.expand(sums.shape)
        ctx.save_for_backward(pixels, index, inverse)
        # torch's way to keep what is no tensor for the backward pass
        ctx.by_index, ctx.num_segments, ctx.width = by_index, num_segments, sums.shape[1]
        ctx.mark_non_differentiable(inverse)
        ctx.set_materialize_grads(False)
        return sums, inverse, weights, vectors

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, of_sums: Tensor | None, _: None, weights: Tensor | None, vectors: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        pixels, index, inverse = ctx.saved_tensors
        norms = inverse * (inverse < 0.5 / SHORTEST)
        scale = norms.unsqueeze(1)
        own = inverse.new_zeros(ctx.num_segments, ctx.width) if of_sums is None else of_sums
        table, each, dense = F.pad(own, (0, 0, 0, 1)), scale, []
        first = index[:, :1]
        if weights is not None and vectors is not None:
            if ctx.by_index:
                table = F.pad(torch.stack([own, vectors]), (0, 0, 0, 1)).flatten(0, 1)
                each = torch.cat([scale, weights * scale], 1)
                first = torch.cat([first, index + (ctx.num_segments + 1)], 1)
            else:
                dense = [weights * scale, vectors]
        gradient = products_of(pixels).gradient(table, first, each, norms.square(), dense)
        return gradient, *[None] * (len(ctx.needs_input_grad) - 1)


class _Dots(torch.autograd.Function):
    """Dot products of directions and vectors, from the pixels; see :class:`_Sums` for where their gradient goes."""

    @staticmethod
    def forward(
        ctx: Any,
        weights: Tensor,  # noqa: ARG004  (what gradients go to)
        of_vectors: Tensor,  # noqa: ARG004  (likewise)
        vectors: Tensor,
        pixels: Tensor,
        inverse: Tensor,
        index: Tensor,
        by_index: bool,
        *bags: Tensor,
    ) -> Tensor:
        products = products_of(pixels)
        table = F.pad(vectors, (0, 0, 0, 1)) if by_index else vectors
        dots = products.dots(table, index) if by_index else products.all_dots(table)
        ctx.save_for_backward(vectors, pixels, inverse, index, *bags)
        ctx.by_index = by_index  # torch's way to keep it for the backward pass
        return dots * inverse.unsqueeze(1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        vectors, pixels, inverse, index, *bags = ctx.saved_tensors
        to_vectors = None
        if ctx.needs_input_grad[2]:
            products, weights = products_of(pixels), grad * inverse.unsqueeze(1)
            if ctx.by_index:
                to_vectors = products.sums(index, weights, Bags(*bags) if bags else None, len(vectors) + 1)[:-1]
            else:
                to_vectors = products.all_sums(weights)
        return grad, vectors, to_vectors, *[None] * (len(ctx.needs_input_grad) - 3)
