"""Labels and predictions on the grid of an encoder stage, and the stage's pixels as rows."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from contextrast.contrast.directions import Directions
from contextrast.errors import ConfigError


class StageLabels(NamedTuple):
    """Labels of the pixels of all stages in one list of P: stage by stage, the shallowest first, and image by image.

    Attributes:
        classes: True class of every pixel, ``[P]`` int64; ``num_classes`` marks ignored pixels.
        predictions: Class the network predicts, ``[P]`` int64.
        images: Number of the pixel's image in the batch, ``[P]`` int64.
        stages: Number of the pixel's stage, ``[P]`` int64.
        grids: B, H and W of each stage.
        num_classes: N.
        segments: Classes as segments, see :func:`segments_of`, ``[P]`` int64.
    """

    classes: Tensor
    predictions: Tensor
    images: Tensor
    stages: Tensor
    grids: list[tuple[int, int, int]]
    num_classes: int
    segments: Tensor

    @property
    def num_segments(self) -> int:
        """I·N."""
        return len(self.grids) * self.num_classes

    def maps(self, values: Tensor) -> list[Tensor]:
        """Values of all pixels ``[P]`` as maps of each stage, ``[B, H_i, W_i]``."""
        parts = torch.split(values, [batch * height * width for batch, height, width in self.grids])
        return [part.view(grid) for part, grid in zip(parts, self.grids, strict=True)]

    def segments_of(self, values: Tensor) -> Tensor:
        """Classes ``[P]`` as segments of their own in each stage, i·N + class, and I·N for class N."""
        return segments_of(values, self.stages, self.num_classes, self.num_segments)


def segments_of(values: Tensor, groups: Tensor, num_classes: int, none: int) -> Tensor:
    """Classes as segments of their own in each group, group·N + class, and another one for class N."""
    return torch.add(values, groups, alpha=num_classes).masked_fill(values >= num_classes, none)


class StagePixels(NamedTuple):
    """The pixels of one stage over the whole batch, P = B·H·W of them.

    Attributes:
        embeddings: ``[B, D, H, W]``, of any length: only their direction counts.
        classes: True class of every pixel, ``[B, H, W]`` int64; ``num_classes`` marks ignored pixels.
        predictions: Class the network predicts, ``[B, H, W]`` int64.
        num_classes: N.
        stage: Position of the stage, 0 is the shallowest.
        directions: The embeddings' directions, ready to be compared; None where there is nothing to compare.
    """

    embeddings: Tensor
    classes: Tensor
    predictions: Tensor
    num_classes: int
    stage: int
    directions: Directions | None = None

    @property
    def grid(self) -> tuple[int, int, int]:
        """B, H and W."""
        batch, height, width = self.classes.shape
        return batch, height, width

    def rows_at(self, positions: Tensor) -> Tensor:
        """Embeddings of the pixels at some positions of all P, ``[..., D]``; the map is not copied."""
        _, height, width = self.grid
        place = positions % (height * width)
        found: Tensor = self.embeddings[positions // (height * width), :, place // width, place % width]
        return found


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


def stage_labels(
    embeddings: Sequence[Tensor], target: Tensor, prediction: Tensor, num_classes: int, ignore_index: int | None
) -> StageLabels:
    """Bring labels to the grids of embeddings; every cell takes the label of its centre pixel.

    Args:
        embeddings: ``[B, D, H_i, W_i]``, shallowest first.
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
    grids = [(len(map_), map_.shape[2], map_.shape[3]) for map_ in embeddings]
    (height, width), device = target.shape[1:], target.device
    images = torch.arange(0, target.numel(), height * width, device=device).view(-1, 1, 1)
    cells = [
        (images + _centres(height, rows, device, width).unsqueeze(1) + _centres(width, columns, device)).flatten()
        for _, rows, columns in grids
    ]
    stages = torch.cat([torch.full_like(cell, stage) for stage, cell in enumerate(cells)])
    pixels = torch.cat(cells)
    classes = mark_ignored(target.flatten()[pixels], num_classes, ignore_index)
    return labels_of(classes, prediction.flatten()[pixels], pixels // (height * width), stages, grids, num_classes)


def labels_of(
    classes: Tensor,
    predictions: Tensor,
    images: Tensor,
    stages: Tensor,
    grids: list[tuple[int, int, int]],
    num_classes: int,
) -> StageLabels:
    """Labels with their segments."""
    segments = segments_of(classes, stages, num_classes, len(grids) * num_classes)
    return StageLabels(classes, predictions, images, stages, grids, num_classes, segments)


def stage_pixels(
    embeddings: Sequence[Tensor], labels: StageLabels, directions: Sequence[Directions] = ()
) -> list[StagePixels]:
    """Each stage's pixels for itself.

    Args:
        embeddings: ``[B, D, H_i, W_i]``, shallowest first.
        labels: Their labels.
        directions: Their directions, if something is to be compared with them.
    """
    classes, predictions = labels.maps(labels.classes), labels.maps(labels.predictions)
    return [
        StagePixels(
            map_, classes[stage], predictions[stage], labels.num_classes, stage, next(iter(directions[stage:]), None)
        )
        for stage, map_ in enumerate(embeddings)
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


def _centres(full: int, cells: int, device: torch.device, apart: int = 1) -> Tensor:
    """Positions of the cells' centre pixels, which lie some way apart in memory."""
    if full % cells == 0:
        stride = full // cells * apart
        return torch.arange(full // cells // 2 * apart, full * apart, stride, device=device)
    return (2 * torch.arange(cells, device=device) + 1) * full // (2 * cells) * apart


def as_rows(embeddings: Tensor) -> Tensor:
    """``[B, D, H, W]`` as rows ``[B·H·W, D]``; free of copies for channels-last tensors."""
    return embeddings.permute(0, 2, 3, 1).flatten(0, 2)
