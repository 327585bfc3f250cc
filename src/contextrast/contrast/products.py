"""Products of embedding maps with few vectors, in whichever layout a map has.

There are two ways to a pixel's dot product with the vector that it is compared with. Where a pixel's channels lie next
to each other (channels last), the vector's row is gathered: one dot product for each, whatever the number of classes.
Where they lie a plane apart, as a convolution leaves them by default, one matrix product with all vectors reads the map
in its own order, and the result is gathered. Sums and gradients go the same two ways.

Indices ``[P, K]`` name rows of a table. Half precision is read in parts, which are raised to float32.
"""

from collections.abc import Iterator, Sequence
from typing import Protocol

import torch
from torch import Tensor

from contextrast.contrast.rows import SHORTEST, at_least_float32, chunks, dots_of_rows, sums_of_rows
from contextrast.contrast.segments import Bags

_CLASSES = {"cpu": 32}  # up to so many, a product with all of them takes less time than bringing channels together
_CLASSES_DEVICE = 64
_PLANE_PIXELS = 1 << 12  # pixels at a time on a CPU, whose channels a cache holds


class Products(Protocol):
    """Products of P pixels of D channels, computed in at least float32."""

    def inverse_norms(self) -> Tensor:
        """1 / max(norm, 1e-12) of each pixel, ``[P]``."""
        ...

    def sums(self, index: Tensor, weights: Tensor, bags: Bags | None, size: int) -> Tensor:
        """Σ weight · pixel over the pixels that name a row, ``[size, D]``.

        Args:
            index: ``[P, K]``.
            weights: ``[P, K]``.
            bags: The index's columns in bags, for rows.
            size: Number of rows.
        """
        ...

    def all_sums(self, weights: Tensor) -> Tensor:
        """Σ weight · pixel, ``[N, D]``, of weights ``[P, N]``."""
        ...

    def dots(self, table: Tensor, index: Tensor) -> Tensor:
        """Dot products of each pixel with the rows of a table that its indices name, ``[P, K]``."""
        ...

    def all_dots(self, table: Tensor) -> Tensor:
        """Dot products of each pixel with all rows of a table, ``[P, N]``."""
        ...

    def gradient(
        self, table: Tensor, index: Tensor, weights: Tensor, squares: Tensor, dense: Sequence[Tensor]
    ) -> Tensor:
        """Gradient of the pixels, which is that of each pixel's direction without its part along the pixel.

        Args:
            table: ``[T, D]``.
            index: ``[P, K]``.
            weights: ``[P, K]``; a direction's gradient is Σ_k weight_k · table[index_k].
            squares: Squared inverse norms, ``[P]``.
            dense: Weights ``[P, N]`` and a table ``[N, D]`` whose product belongs to it, too; or nothing.

        Returns:
            Of the shape and dtype of the pixels.
        """
        ...


def gathers(map_: Tensor, num_classes: int) -> bool:
    """Whether rows are gathered for a map ``[B, D, H, W]``, rather than multiplied with all of a table."""
    few = num_classes <= _CLASSES.get(map_.device.type, _CLASSES_DEVICE)
    return not few or not map_.is_contiguous() or map_.is_contiguous(memory_format=torch.channels_last)


def pixels_of(map_: Tensor, num_classes: int) -> Tensor:
    """The pixels of a map ``[B, D, H, W]`` as rows ``[B·H·W, D]`` or planes ``[B, D, H·W]``, whichever are fast.

    What is neither contiguous nor channels last is copied, and what is contiguous, where there are many classes.
    """
    if gathers(map_, num_classes):
        return map_.permute(0, 2, 3, 1).flatten(0, 2).contiguous()
    return map_.flatten(2)


def products_of(pixels: Tensor) -> Products:
    """The products of rows ``[P, D]`` or planes ``[B, D, P / B]``."""
    return RowProducts(pixels) if pixels.ndim == 2 else PlaneProducts(pixels)


class RowProducts:
    """Products of pixels that are rows.

    Args:
        rows: ``[P, D]``, contiguous.
    """

    def __init__(self, rows: Tensor) -> None:
        self.rows = rows

    def inverse_norms(self) -> Tensor:
        """See :class:`Products`."""
        norms = [torch.linalg.vector_norm(block, dim=1) for _, block in self._blocks()]
        return _whole(norms).clamp_min_(SHORTEST).reciprocal_()

    def sums(self, index: Tensor, weights: Tensor, bags: Bags | None, size: int) -> Tensor:  # noqa: ARG002
        """See :class:`Products`."""
        assert bags is not None, "rows are summed in bags"
        chosen = weights.T.reshape(-1)[bags.entries] * bags.taken
        return sums_of_rows(self.rows, chosen, bags, size)

    def all_sums(self, weights: Tensor) -> Tensor:
        """See :class:`Products`."""
        total = torch.zeros(weights.shape[1], self.rows.shape[1], dtype=weights.dtype, device=weights.device)
        for part, block in self._blocks():
            total.addmm_(_part(weights, part).T, block)
        return total

    def dots(self, table: Tensor, index: Tensor) -> Tensor:
        """See :class:`Products`."""
        return _whole([dots_of_rows(block, table, _part(index, part)) for part, block in self._blocks()])

    def all_dots(self, table: Tensor) -> Tensor:
        """See :class:`Products`."""
        return _whole([block @ table.T for _, block in self._blocks()])

    def gradient(
        self, table: Tensor, index: Tensor, weights: Tensor, squares: Tensor, dense: Sequence[Tensor]
    ) -> Tensor:
        """See :class:`Products`."""
        grads = []
        for part, rows in self._blocks():
            here, number = _part(index, part), index.shape[1]
            begins = torch.arange(0, here.numel(), number, device=rows.device)
            grad, *_ = torch.embedding_bag(
                table, here.flatten(), begins, per_sample_weights=_part(weights, part).flatten(), mode=0
            )
            if dense:
                grad.addmm_(_part(dense[0], part), dense[1])
            along = dots_of_rows(grad, rows, None) * _part(squares, part).unsqueeze(1)
            grads.append(grad.addcmul_(rows, along, value=-1).to(self.rows.dtype))
        return _whole(grads)

    def _blocks(self) -> list[tuple[slice | None, Tensor]]:
        """Rows at a time: all of them, unless they have to be raised to float32."""
        if self.rows.dtype in (torch.float32, torch.float64):
            return [(None, self.rows)]
        return [(part, at_least_float32(self.rows[part])) for part in chunks(self.rows)]


class PlaneProducts:
    """Products of pixels whose channels are planes.

    Args:
        planes: ``[B, D, P / B]``, contiguous.
    """

    def __init__(self, planes: Tensor) -> None:
        self.planes = planes

    def inverse_norms(self) -> Tensor:
        """See :class:`Products`."""
        norms = _whole([self._norms(block) for _, block in self._blocks()])
        return norms.clamp_min_(SHORTEST).reciprocal_()

    def sums(self, index: Tensor, weights: Tensor, bags: Bags | None, size: int) -> Tensor:  # noqa: ARG002
        """See :class:`Products`."""
        total = torch.zeros(size, self.planes.shape[1], dtype=weights.dtype, device=weights.device)
        for part, block in self._blocks():
            total += (_spread(index[part], weights[part], size, block) @ block.transpose(1, 2)).sum(0)
        return total

    def all_sums(self, weights: Tensor) -> Tensor:
        """See :class:`Products`."""
        total = torch.zeros(weights.shape[1], self.planes.shape[1], dtype=weights.dtype, device=weights.device)
        for part, block in self._blocks():
            total += (_planes(weights[part], block) @ block.transpose(1, 2)).sum(0)
        return total

    def dots(self, table: Tensor, index: Tensor) -> Tensor:
        """See :class:`Products`."""
        found = [(table @ block).gather(1, _planes(index[part], block)) for part, block in self._blocks()]
        return _whole([each.transpose(1, 2).flatten(0, 1) for each in found])

    def all_dots(self, table: Tensor) -> Tensor:
        """See :class:`Products`."""
        return _whole([(table @ block).transpose(1, 2).flatten(0, 1) for _, block in self._blocks()])

    def gradient(
        self, table: Tensor, index: Tensor, weights: Tensor, squares: Tensor, dense: Sequence[Tensor]
    ) -> Tensor:
        """See :class:`Products`."""
        whole = torch.empty_like(self.planes)
        for (part, block), into in zip(self._blocks(), self._cut(whole), strict=True):
            grad = table.T @ _spread(index[part], weights[part], len(table), block)
            if dense:
                grad += dense[1].T @ _planes(dense[0][part], block)
            along = (grad * block).sum(1, keepdim=True) * squares[part].view(len(block), 1, -1)
            into.copy_(grad.addcmul_(block, along, value=-1))
        return whole

    @staticmethod
    def _norms(block: Tensor) -> Tensor:
        if block.device.type == "cpu":  # whose kernel for norms takes several times as long along planes
            return block.square().sum(1).sqrt_().flatten()
        norms: Tensor = torch.linalg.vector_norm(block, dim=1)
        return norms.flatten()

    @staticmethod
    def _cut(planes: Tensor) -> list[Tensor]:
        """Parts ``[b, D, n]``: on a CPU what a cache holds, else an image where its dtype has to be raised, or all."""
        if torch.compiler.is_compiling():
            return [planes]
        if planes.device.type == "cpu":
            return [part for image in torch.split(planes, 1) for part in torch.split(image, _PLANE_PIXELS, 2)]
        return [planes] if planes.dtype in (torch.float32, torch.float64) else list(torch.split(planes, 1))

    def _blocks(self) -> Iterator[tuple[slice, Tensor]]:
        start = 0
        for part in self._cut(self.planes):
            stop = start + len(part) * part.shape[2]
            yield slice(start, stop), at_least_float32(part)
            start = stop


def _whole(parts: Sequence[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))


def _part(values: Tensor, part: slice | None) -> Tensor:
    """A part of some values, or all of them, of which no view is made."""
    return values if part is None else values[part]


def _planes(values: Tensor, block: Tensor) -> Tensor:
    """Values of a block's pixels, ``[b·n, K]``, as planes ``[b, K, n]``."""
    return values.view(len(block), -1, values.shape[1]).transpose(1, 2)


def _spread(index: Tensor, weights: Tensor, size: int, block: Tensor) -> Tensor:
    """Weights ``[b·n, K]`` at the rows that the indices name, ``[b, size, n]``."""
    zeros = torch.zeros(len(block), size, block.shape[2], dtype=weights.dtype, device=weights.device)
    return zeros.scatter_add_(1, _planes(index, block), _planes(weights, block))
