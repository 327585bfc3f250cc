"""Similarities between pixels and anchors, and the partition sums of the negatives (Contextrast, Eq. 4)."""

from typing import NamedTuple

import torch
from torch import Tensor

from contextrast.contrast.rows import gathered_dots
from contextrast.contrast.segments import counts_of_segments, logsumexp_of_segments
from contextrast.contrast.stages import StagePixels


class Similarities(NamedTuple):
    """What the pixel-anchor loss needs of one stage.

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
    similarity = pixels.embeddings @ (anchors / temperature).T  # [P, N]
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
