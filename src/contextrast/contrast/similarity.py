"""Similarities between pixels and anchors, and the partition sums of the negatives (Contextrast, Eq. 4)."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from contextrast.contrast.directions import Directions
from contextrast.contrast.products import gathers, pixels_of
from contextrast.contrast.segments import bags_of_segments, counts_of_segments, logsumexp_of_segments
from contextrast.contrast.stages import StageLabels, StagePixels


class Similarities(NamedTuple):
    """What the pixel-anchor loss needs of a stage; of several, ``positive`` of [P] and one more dimension of I.

    Attributes:
        positive: s(v+) of every pixel to the anchor of its own class, ``[P]``; 0 for ignored pixels.
        log_partition: log Z of every anchor, ``[N]``; -inf for an anchor without negatives.
        counts: Number of negatives of every anchor, ``[N]`` int64.
        negative_mean: Mean s(v-) over all pairs of anchor and negative, detached scalar; 0 if there are none.
    """

    positive: Tensor
    log_partition: Tensor
    counts: Tensor
    negative_mean: Tensor


class StageSimilarities(NamedTuple):
    """As :class:`Similarities`, of all stages at once, where every pixel is a negative of at most one anchor.

    Attributes:
        positive: ``[P]``.
        log_partition: ``[I, N]``.
        negative: s(v-) of every pixel, 0 where it is none, ``[P]``.
        segments: i·N + n for a negative of anchor n at stage i, I·N for none, ``[P]``.
    """

    positive: Tensor
    log_partition: Tensor
    negative: Tensor
    segments: Tensor

    @property
    def counts(self) -> Tensor:
        """Number of negatives of every anchor, ``[I, N]`` int64."""
        shape = self.log_partition.shape
        return counts_of_segments(self.segments, shape.numel() + 1)[:-1].view(shape)

    @property
    def negative_mean(self) -> Tensor:
        """Mean s(v-) of each stage, detached, ``[I]``; 0 if there are none."""
        shape, negative = self.log_partition.shape, self.negative.detach()
        sums = negative.new_zeros(shape.numel() + 1).index_add(0, self.segments, negative)
        return sums[:-1].view(shape).sum(1) / self.counts.sum(1).clamp_min(1)


def directions_of_stages(
    embeddings: Sequence[Tensor], labels: StageLabels, assignment: Tensor | None
) -> list[Directions]:
    """Directions of all stages' pixels with the sums of each class: of all at once where they are rows, else by stage.

    Args:
        embeddings: ``[B, D, H_i, W_i]``, shallowest first.
        labels: The pixels' labels.
        assignment: The anchor that a pixel is compared with besides its own class's, ``[P]`` int64, N for none; None
            where each is compared with all, stage by stage.
    """
    size = labels.num_classes
    if assignment is not None and all(gathers(map_, size) for map_ in embeddings):
        rows = torch.cat([map_.permute(0, 2, 3, 1).flatten(0, 2) for map_ in embeddings])
        other = labels.segments_of(assignment)
        bags = bags_of_segments(torch.stack([labels.segments, other]), labels.num_segments)
        return [Directions(rows, labels.segments, labels.num_segments, bags, other)]
    maps = zip(
        embeddings,
        labels.maps(labels.classes),
        [None] * len(embeddings) if assignment is None else labels.maps(assignment),
        strict=True,
    )
    return [directions_of_map(map_, own, size, other) for map_, own, other in maps]


def directions_of_map(map_: Tensor, classes: Tensor, num_classes: int, assignment: Tensor | None = None) -> Directions:
    """Directions of one map ``[B, D, H, W]`` and classes ``[B, H, W]``, see :func:`directions_of_stages`."""
    pixels, segments = pixels_of(map_, num_classes), classes.flatten()
    other = None if assignment is None else assignment.flatten()
    columns = segments.unsqueeze(0) if other is None else torch.stack([segments, other])
    bags = bags_of_segments(columns, num_classes) if pixels.ndim == 2 else None
    return Directions(pixels, segments, num_classes, bags, other)


def stage_similarities(
    directions: Sequence[Directions], anchors: Tensor, temperature: float, labels: StageLabels, assignment: Tensor
) -> StageSimilarities:
    """Similarities of all stages at once, where every pixel is a negative of at most one anchor.

    Two dot products a pixel, whatever N is.

    Args:
        directions: Of all pixels, or of every stage's, each compared with its own class and the one it is assigned to.
        anchors: ``[I, N, D]``.
        temperature: τ.
        labels: The pixels' labels.
        assignment: The anchor a pixel is a negative of, ``[P]`` int64, N for none.
    """
    scaled = anchors / temperature
    if len(directions) == 1:
        dots = directions[0].compare(scaled.flatten(0, 1))
    else:
        dots = torch.cat([one.compare(vectors) for one, vectors in zip(directions, scaled.unbind(), strict=True)])
    positive, negative = dots.unbind(1)
    segments, number = labels.segments_of(assignment), labels.num_segments
    log_partition = logsumexp_of_segments(negative, segments, number + 1)[:-1].view(anchors.shape[:2])
    return StageSimilarities(positive, log_partition, negative, segments)


def assigned_similarities(pixels: StagePixels, anchors: Tensor, temperature: float, assignment: Tensor) -> Similarities:
    """Similarities of a stage where every pixel is a negative of at most one anchor.

    Args:
        pixels: The stage's pixels.
        anchors: ``[N, D]``.
        temperature: τ.
        assignment: ``[B, H, W]`` int64, the anchor a pixel is a negative of, or -1.
    """
    size = pixels.num_classes
    assignment = torch.where(assignment >= 0, assignment, size).flatten()
    table = F.pad(_compared(pixels).compare(anchors / temperature), (0, 1))  # [P, N + 1]
    index = torch.stack([pixels.classes.flatten(), assignment], 1)
    positive, negative = table.gather(1, index).unbind(1)
    log_partition = logsumexp_of_segments(negative, assignment, size + 1)[:-1]
    counts = counts_of_segments(assignment, size + 1)[:-1]
    mean = negative.detach().sum() / counts.sum().clamp_min(1)  # pixels of no region have similarity 0
    return Similarities(positive, log_partition, counts, mean)


def shared_similarities(pixels: StagePixels, anchors: Tensor, temperature: float, is_negative: Tensor) -> Similarities:
    """Similarities where a pixel may be a negative of several anchors: a pixels × classes matrix.

    Args:
        pixels: The stage's pixels.
        anchors: ``[N, D]``.
        temperature: τ.
        is_negative: Boolean ``[B, N, H, W]``.
    """
    similarity = _compared(pixels).compare(anchors / temperature)  # [P, N]
    own = pixels.classes.flatten()
    valid = own < pixels.num_classes
    positive = similarity.gather(1, torch.where(valid, own, 0).unsqueeze(1)).squeeze(1)
    mask = is_negative.permute(0, 2, 3, 1).flatten(0, 2)
    counts = mask.sum(0)
    has_negatives = counts > 0
    # A finite filling keeps the gradient of an anchor without negatives free of NaN.
    masked = similarity.masked_fill(~mask, torch.finfo(similarity.dtype).min)
    log_partition = torch.where(has_negatives, masked.logsumexp(0), -torch.inf)
    mean = similarity.detach().mul(mask).sum() / counts.sum().clamp_min(1)
    return Similarities(torch.where(valid, positive, 0), log_partition, counts, mean)


def _compared(pixels: StagePixels) -> Directions:
    """The directions of a stage's pixels, compared with all anchors."""
    if pixels.directions is not None:
        return pixels.directions
    return directions_of_map(pixels.embeddings, pixels.classes, pixels.num_classes)
