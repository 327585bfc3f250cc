"""The pixel-anchor loss (Contextrast, Eqs. 3 and 4) and the anchor-anchor loss (Contextrast++) as pure functions."""

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

_MASKED = 1e6  # what takes a pair out of a softmax: finite, so that nothing becomes NaN, and more than any logit


def pixel_anchor_loss(
    positive: Tensor, log_partition: Tensor, classes: Tensor, counts: Tensor, weights: Tensor | None = None
) -> Tensor:
    """Pull all pixels of a class to its anchor and push the anchor's negatives away, for one stage.

    L = 1/|N_i| Σ_n 1/|V+| Σ_{v+} softplus(log Z^n − s(v+)), which is −log(e^s / (e^s + Z)) without overflow. The
    divisor |N_i|, the classes that occur, follows Contextrast++, Eq. 5. An anchor without negatives adds 0 and counts.

    Args:
        positive: s(v+) of every pixel to the anchor of its own class, ``[P]``.
        log_partition: log Z of every anchor, ``[N]``; -inf for an anchor without negatives.
        classes: True class of every pixel, any shape with P elements; N marks ignored pixels.
        counts: Pixels of each class in the batch, ``[N]``; with weights the sums of theirs.
        weights: Weight of every pixel in the mean over its class's positives, ``[P]``; all equal if not given.

    Returns:
        Scalar ≥ 0, a graph-connected 0 where no class occurs.
    """
    return pixel_anchor_losses(positive, log_partition[None], classes.flatten(), counts[None], (1.0,), weights)


def pixel_anchor_losses(
    positive: Tensor,
    log_partition: Tensor,
    segments: Tensor,
    counts: Tensor,
    stage_weights: Sequence[float],
    pixel_weights: Tensor | None = None,
) -> Tensor:
    """The weighted sum of the losses of all stages, Σ_i λ_i L_i with L_i of :func:`pixel_anchor_loss` (Eq. 3).

    Args:
        positive: s(v+) of the pixels of all stages, ``[P]``.
        log_partition: ``[I, N]``.
        segments: i·N + class of each pixel, ``[P]`` int64; I·N marks ignored pixels.
        counts: Pixels of each class in the batch, or the sums of their weights, ``[I, N]``.
        stage_weights: λ_i.
        pixel_weights: Weight of every pixel, ``[P]``; all equal if not given.

    Returns:
        Scalar.
    """
    present = counts > 0
    of_stage = torch.stack([counts.new_full((1,), weight) for weight in stage_weights])
    share = of_stage / present.sum(1, keepdim=True).clamp_min(1)
    # One more bin, so that ignored pixels look up an anchor without negatives and weight 0.
    smallest = 1 if pixel_weights is None else torch.finfo(counts.dtype).tiny
    weights = F.pad((share / counts.clamp_min(smallest) * present).flatten(), (0, 1))
    log_partition = F.pad(log_partition.flatten(), (0, 1), value=-torch.inf)
    of_pixels = weights[segments] if pixel_weights is None else weights[segments] * pixel_weights
    loss: Tensor = _WeightedSoftplus.apply(positive, log_partition, segments, of_pixels)
    return loss


def log_partition_over_negatives(
    log_sums: Tensor,
    counts: Tensor,
    anchors: Tensor,
    present: Tensor,
    temperature: float,
    anchor_weight: float = 0.0,
    mean: bool = False,
) -> Tensor:
    """Log Z of every anchor, with two choices that the papers do not make.

    Z^n = R_{v−} exp s(v−) + w · R_{m≠n} exp(â^n·â^m/τ), where R is the sum, as published, or the mean, v− runs over the
    negatives of anchor n and m over the other classes present. With w = 0, as published, an anchor without negatives is
    silent; with w > 0 every present class is pushed from the others.

    Args:
        log_sums: log Σ_{v−} exp s(v−), ``[..., N]``, of one stage or of several; -inf without negatives.
        counts: Number of negatives of every anchor, ``[..., N]``; read for the mean alone.
        anchors: Fused anchors â, ``[..., N, D]``.
        present: Which classes have a pixel, boolean ``[..., N]``.
        temperature: τ.
        anchor_weight: w.
        mean: Whether R is the mean.

    Returns:
        ``[..., N]``; -inf for an anchor that nothing is pushed from.
    """
    log_z = log_sums - counts.clamp_min(1).to(log_sums.dtype).log() if mean else log_sums
    if anchor_weight == 0:
        return log_z
    cosines = anchors / temperature @ anchors.mT
    others = present.unsqueeze(-2) & ~torch.eye(present.shape[-1], dtype=torch.bool, device=present.device)
    number = others.sum(-1)
    # A finite filling keeps the gradient of an anchor without other classes free of NaN.
    of_anchors = cosines.masked_fill(~others, torch.finfo(cosines.dtype).min).logsumexp(-1) + math.log(anchor_weight)
    if mean:
        of_anchors = of_anchors - number.clamp_min(1).to(cosines.dtype).log()
    some = log_z > -torch.inf
    both = torch.where(some, torch.logaddexp(torch.where(some, log_z, 0), of_anchors), of_anchors)
    return torch.where(number > 0, both, log_z)


def anchor_anchor_loss(queries: Tensor, present: Tensor, queues: Tensor, filled: Tensor, temperature: float) -> Tensor:
    """Pull the anchor of a class to its past ones and push it from those of all other classes (Contextrast++, Eq. 10).

    L = mean over c of 1/|P_c| Σ_{p∈P_c} softplus(log Σ_{n∈N_c} exp(S_c·n/τ) − S_c·p/τ): the form of
    :func:`pixel_anchor_loss`, with the queue of c for P_c and all other queues for N_c. The mean is over the classes of
    the batch whose queue is not empty. One without negatives adds 0 and counts.

    Args:
        queries: S, ``[N, D]`` in unit length.
        present: Which classes the batch has, boolean ``[N]``.
        queues: Past anchors in unit length, ``[N, K, D]``.
        filled: Which slots hold one, boolean ``[N, K]``.
        temperature: τ.

    Returns:
        Scalar ≥ 0, a graph-connected 0 where there is nothing to compare.
    """
    number = filled.sum(1)
    takes_part = present & (number > 0)
    weights = takes_part / (takes_part.sum().clamp_min(1) * number.clamp_min(1)).to(queries.dtype)
    loss: Tensor = _AnchorAnchor.apply(queries, queues.to(queries.dtype), filled, weights, temperature)
    return loss


def compare_with_queues(
    queries: Tensor, present: Tensor, queues: Tensor, filled: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Dot products of the queries with all slots, and which of them are pairs of one class and of two.

    Arguments are those of :func:`anchor_anchor_loss`.

    Returns:
        ``[N, N, K]`` dot products; boolean ``[N, N, K]`` positive and negative pairs, of classes that take part.
    """
    size, slots, _ = queues.shape
    products = (queries @ queues.to(queries.dtype).flatten(0, 1).T).view(size, size, slots)
    own = torch.eye(size, dtype=torch.bool, device=queues.device).unsqueeze(2)
    pairs = filled & (present & filled.any(1))[:, None, None]
    return products, own & pairs, ~own & pairs


def mean_where(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of the values where a boolean mask is true, scalar; 0 where it is so nowhere."""
    return (values * mask).sum() / mask.sum().clamp_min(1)


class _WeightedSoftplus(torch.autograd.Function):
    """Σ_p w_p · softplus(log Z[segment_p] − s_p): a look-up's own gradient would be sorted and summed."""

    @staticmethod
    def forward(ctx: Any, positive: Tensor, log_partition: Tensor, segments: Tensor, of_pixels: Tensor) -> Tensor:
        margin = log_partition[segments] - positive
        ctx.save_for_backward(margin, segments, of_pixels)
        ctx.size = len(log_partition)  # torch's way to keep it for the backward pass
        return (F.softplus(margin) * of_pixels).sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None, None]:
        margin, segments, of_pixels = ctx.saved_tensors
        slope = margin.sigmoid() * of_pixels * grad
        return -slope, slope.new_zeros(ctx.size).index_add(0, segments, slope), None, None


class _AnchorAnchor(torch.autograd.Function):
    """Σ_c w_c Σ_{p∈P_c} softplus(log Z_c − s(p)): of the N·N·K pairs, N·K are positive."""

    @staticmethod
    def forward(
        ctx: Any, queries: Tensor, queues: Tensor, filled: Tensor, weights: Tensor, temperature: float
    ) -> Tensor:
        entries = queues.flatten(0, 1)
        offset = -_MASKED * (~filled).to(queries.dtype)
        logits = torch.addmm(offset.flatten(), queries / temperature, entries.T)  # [N, N·K]
        to_own = logits.view(len(queries), *filled.shape).diagonal(dim1=0, dim2=1)  # a view, [K, N]
        positive = to_own.T.clone()
        to_own.fill_(-_MASKED)
        log_z = logits.logsumexp(1, keepdim=True)
        margin = (log_z - positive).masked_fill(log_z < -0.5 * _MASKED, -torch.inf)
        of_pairs = weights.unsqueeze(1) * filled
        ctx.save_for_backward(logits, log_z, margin, of_pairs, entries)
        ctx.temperature = temperature  # as above
        return (F.softplus(margin) * of_pairs).sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None, None]:
        logits, log_z, margin, of_pairs, entries = ctx.saved_tensors
        slope = margin.sigmoid() * of_pairs * (grad / ctx.temperature)
        pairs = (logits - log_z).exp_().mul_(slope.sum(1, keepdim=True))
        pairs.view(len(logits), *slope.shape).diagonal(dim1=0, dim2=1).copy_(-slope.T)
        return pairs @ entries, None, None, None, None
