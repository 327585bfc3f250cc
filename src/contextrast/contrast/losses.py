"""The pixel-anchor loss (Contextrast, Eqs. 3 and 4) and the anchor-anchor loss (Contextrast++) as pure functions."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor


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
    classes = classes.flatten()
    # One more bin, so that ignored pixels look up an anchor without negatives and weight 0.
    log_partition = F.pad(log_partition, (0, 1), value=-torch.inf)
    smallest = 1 if weights is None else torch.finfo(counts.dtype).tiny
    weight = F.pad(torch.where(counts > 0, counts.clamp_min(smallest).reciprocal(), 0), (0, 1))
    losses = F.softplus(log_partition[classes] - positive)
    if weights is not None:
        losses = losses * weights
    return (losses * weight[classes]).sum() / (counts > 0).sum().clamp_min(1)


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
        log_sums: log Σ_{v−} exp s(v−), ``[N]``; -inf without negatives.
        counts: Number of negatives of every anchor, ``[N]``; read for the mean alone.
        anchors: Fused anchors â, ``[N, D]``.
        present: Which classes have a pixel, boolean ``[N]``.
        temperature: τ.
        anchor_weight: w.
        mean: Whether R is the mean.

    Returns:
        ``[N]``; -inf for an anchor that nothing is pushed from.
    """
    log_z = log_sums - counts.clamp_min(1).to(log_sums.dtype).log() if mean else log_sums
    if anchor_weight == 0:
        return log_z
    cosines = anchors / temperature @ anchors.T
    others = present & ~torch.eye(len(present), dtype=torch.bool, device=present.device)
    number = others.sum(1)
    # A finite filling keeps the gradient of an anchor without other classes free of NaN.
    of_anchors = cosines.masked_fill(~others, torch.finfo(cosines.dtype).min).logsumexp(1) + math.log(anchor_weight)
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
    similarity, _, negative = compare_with_queues(queries / temperature, present, queues, filled)
    # A finite filling keeps the gradient of a query without negatives free of NaN.
    masked = similarity.masked_fill(~negative, torch.finfo(similarity.dtype).min).flatten(1)
    log_partition = torch.where(negative.flatten(1).any(1), masked.logsumexp(1), -torch.inf)
    to_own = similarity.diagonal(dim1=0, dim2=1).T  # [N, K]
    losses = F.softplus(log_partition.unsqueeze(1) - to_own) * filled
    mean = losses.sum(1) / filled.sum(1).clamp_min(1)
    takes_part = present & filled.any(1)
    return torch.where(takes_part, mean, 0).sum() / takes_part.sum().clamp_min(1)


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
