"""Labels and predictions on the grid of an encoder stage, and the stage's pixels as rows."""

from typing import NamedTuple

import torch
from torch import Tensor


class StagePixels(NamedTuple):
    """The pixels of one stage over the whole batch, P = B·H·W of them.

    Attributes:
        embeddings: Unit-length embeddings as rows, ``[P, D]``.
        classes: True class of every pixel, ``[B, H, W]`` int64; ``num_classes`` marks ignored pixels.
        predictions: Class the network predicts, ``[B, H, W]`` int64.
        num_classes: N.
        stage: Position of the stage, 0 is the shallowest.
    """

    embeddings: Tensor
    classes: Tensor
    predictions: Tensor
    num_classes: int
    stage: int

    @property
    def grid(self) -> tuple[int, int, int]:
        """B, H and W."""
        batch, height, width = self.classes.shape
        return batch, height, width


def misclassified(classes: Tensor, predictions: Tensor, num_classes: int) -> Tensor:
    """Valid pixels whose prediction is wrong, boolean; ``num_classes`` in ``classes`` marks ignored pixels."""
    return (classes != predictions) & (classes != num_classes)


def to_grid(labels: Tensor, height: int, width: int) -> Tensor:
    """Bring ``[B, H, W]`` labels to ``[B, height, width]`` so that a cell takes the label of its centre pixel.

    The same choice as ``nearest-exact`` interpolation, in whole numbers, which keeps integer labels integer.
    """
    rows = _centres(labels.shape[1], height, labels.device)
    columns = _centres(labels.shape[2], width, labels.device)
    return labels[:, rows][:, :, columns]


def _centres(full: int, cells: int, device: torch.device) -> Tensor:
    return (2 * torch.arange(cells, device=device) + 1) * full // (2 * cells)


def as_rows(embeddings: Tensor) -> Tensor:
    """``[B, D, H, W]`` as rows ``[B·H·W, D]``; free of copies for channels-last tensors."""
    return embeddings.permute(0, 2, 3, 1).flatten(0, 2)
