"""Labels and predictions on the grid of an encoder stage, and the stage's pixels as rows."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from contextrast.contrast.rows import at_least_float32
from contextrast.errors import ConfigError


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


def weights_by_depth(stages: int) -> tuple[float, ...]:
    """λ_i of any number I of maps: max(0.1, 1 - 0.3·(I - i)), the published 0.1, 0.4, 0.7, 1.0 of four.

    Fewer have the last of these, as in the papers' ablation of stages; further shallow ones have 0.1.

    Args:
        stages: I.
    """
    return tuple(max(1, 10 - 3 * (stages - 1 - i)) / 10 for i in range(stages))


def check_stages(embeddings: Sequence[Tensor], stage_weights: Sequence[float]) -> None:
    """Refuse another number of embeddings than of stage weights.

    Raises:
        ConfigError: If they differ.
    """
    if len(embeddings) != len(stage_weights):
        raise ConfigError(
            f"{len(embeddings)} stages of embeddings for {len(stage_weights)} stage weights {list(stage_weights)}: "
            "give one weight for each stage"
        )


def stage_pixels(
    embeddings: Sequence[Tensor], target: Tensor, prediction: Tensor, num_classes: int, ignore_index: int | None
) -> list[StagePixels]:
    """Bring labels to the grids of embeddings; every cell takes the nearest one.

    Args:
        embeddings: Unit-length ``[B, D, H_i, W_i]``, shallowest first; half precision is raised to float32.
        target: Ground truth ``[B, H, W]``.
        prediction: The network's own classes ``[B, H, W]``.
        num_classes: N.
        ignore_index: Label of pixels that take part in nothing; None if there is no such label.

    Raises:
        ConfigError: If shapes do not fit.
    """
    if (
        target.shape != prediction.shape
        or target.ndim != 3
        or any(map_.ndim != 4 or len(map_) != len(target) for map_ in embeddings)
    ):
        raise ConfigError(
            "target and prediction must both be [B, H, W] and embeddings [B, D, H_i, W_i] of one batch, got target "
            f"{list(target.shape)}, prediction {list(prediction.shape)} and embeddings "
            f"{[list(map_.shape) for map_ in embeddings]}"
        )
    classes = mark_ignored(target, num_classes, ignore_index)
    return [
        StagePixels(
            as_rows(at_least_float32(embedding)),
            to_grid(classes, *embedding.shape[2:]),
            to_grid(prediction, *embedding.shape[2:]),
            num_classes,
            index,
        )
        for index, embedding in enumerate(embeddings)
    ]


def mark_ignored(target: Tensor, num_classes: int, ignore_index: int | None) -> Tensor:
    """Replace the ignore index by ``num_classes``, the bin after the last class."""
    target = target.long()
    return target if ignore_index is None else target.masked_fill(target == ignore_index, num_classes)


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
