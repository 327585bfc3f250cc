"""Similarities between pixels and anchors, and the partition sums of the negatives (Contextrast, Eq. 4)."""

from typing import NamedTuple

import torch
from torch import Tensor

from contextrast.contrast.rows import gathered_dots
from contextrast.contrast.stages import StagePixels


class Similarities(NamedTuple):
    """What the pixel-anchor loss needs of one stage.

    Attributes:
        positive: s(v+) of every pixel to the anchor of its own class, ``[P]``; 0 for ignored pixels.
        log_partition: log Z of every anchor, ``[N]``; -inf for an anchor without negatives.
        negatives: Number of (anchor, negative) pairs, scalar.
        negative_mean: Mean s(v-) over those pairs, detached scalar; 0 if there are none.
    """

    positive: Tensor
    log_partition: Tensor
    negatives: Tensor
    negative_mean: Tensor


def assigned_similarities(pixels: StagePixels, anchors: Tensor, temperature: float, assignment: Tensor) -> Similarities:
    """Similarities where every pixel is a negative of at most one anchor: two dot products a pixel, whatever N is.

    Args:
        pixels: The stage's pixels.
        anchors: ``[N, D]``.
        temperature: τ.
        assignment: ``[B, H, W]`` int64, the anchor a pixel is a negative of, or -1.
    """
    size = pixels.num_classes
    assignment = torch.where(assignment >= 0, assignment, size).flatten()
    index = torch.stack([pixels.classes.flatten(), assignment], 1)
    positive, negative = gathered_dots(pixels.embeddings, anchors / temperature, index).unbind(1)
    log_partition, counts = segment_logsumexp(negative, assignment, size)
    total = counts.sum()
    mean = negative.detach().sum() / total.clamp_min(1)  # pixels of no region have similarity 0
    return Similarities(positive, log_partition, total, mean)


def shared_similarities(pixels: StagePixels, anchors: Tensor, temperature: float, is_negative: Tensor) -> Similarities:
    """Similarities where a pixel may be a negative of several anchors: a pixels × classes matrix.

    Args:
        pixels: The stage's pixels.
        anchors: ``[N, D]``.
        temperature: τ.
        is_negative: Boolean ``[B, N, H, W]``.
    """
    similarity = pixels.embeddings @ (anchors / temperature).T  # [P, N]
    own = pixels.classes.flatten()
    valid = own < pixels.num_classes
    positive = similarity.gather(1, torch.where(valid, own, 0).unsqueeze(1)).squeeze(1)
    mask = is_negative.permute(0, 2, 3, 1).flatten(0, 2)
    has_negatives = mask.any(0)
    # A finite filling keeps the gradient of an anchor without negatives free of NaN.
    masked = similarity.masked_fill(~mask, torch.finfo(similarity.dtype).min)
    log_partition = torch.where(has_negatives, masked.logsumexp(0), -torch.inf)
    total = mask.sum()
    mean = similarity.detach().mul(mask).sum() / total.clamp_min(1)
    return Similarities(torch.where(valid, positive, 0), log_partition, total, mean)


def segment_logsumexp(values: Tensor, segments: Tensor, num_segments: int) -> tuple[Tensor, Tensor]:
    """Log of the sum of exponentials of each segment, shifted by the segment's maximum.

    Args:
        values: ``[P]``.
        segments: ``[P]`` int64 in 0 .. ``num_segments``; the last one is left out.
        num_segments: S.

    Returns:
        ``[S]`` log-sums, -inf for empty segments, and ``[S]`` counts in the values' dtype.
    """
    zeros = values.new_zeros(num_segments + 1)
    maximum = zeros.scatter_reduce(0, segments, values.detach(), "amax", include_self=False)
    sums = zeros.index_add(0, segments, (values - maximum[segments]).exp())[:-1]
    counts = zeros.index_add(0, segments, values.new_ones(1).expand(segments.shape[0]))[:-1]
    filled = counts > 0
    return torch.where(filled, torch.where(filled, sums, 1).log() + maximum[:-1], -torch.inf), counts
