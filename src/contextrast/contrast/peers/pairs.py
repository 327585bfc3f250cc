"""The contrast between pairs of samples that both peers share (Wang et al., ICCV 2021; Pissas et al., ECCV 2022)."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from contextrast.contrast.peers.groups import Samples

_BLOCK_PAIRS = {"cpu": 1 << 21}  # pairs at a time, whose few matrices of 8 MB a cache holds
_BLOCK_PAIRS_DEVICE = 1 << 24  # elsewhere: few launches, matrices of 64 MB
_MASKED = 1e6  # what takes a pair out of a softmax: finite, so that nothing becomes NaN, and more than any logit


def pair_contrast(anchors: Samples, keys: Samples | None, temperature: float) -> Tensor:
    """Pull every anchor to the keys of its class and push it from the others.

    l_i = 1/|P_i| Σ_{p∈P_i} softplus(log Σ_{n∈N_i} exp(z_i·z_n/τ) − z_i·z_p/τ), with P_i the keys of i's class and N_i
    those of other classes: Eq. 3 of Wang et al., ICCV 2021, with the positives' sum outside of the logarithm. The loss
    is the mean over the anchors that have a positive. An anchor without negatives adds 0 and counts.

    Similarities are never stored: a block of anchors against all keys is worked on at a time, gradients included, so
    memory is O((anchors + keys) · D). Time is that of all slots, empty ones included.

    Args:
        anchors: What is pulled and pushed.
        keys: What it is compared with; None compares the anchors with each other, except with themselves.
        temperature: τ.

    Returns:
        Scalar ≥ 0, a graph-connected 0 if no anchor has a positive. Gradients flow to anchors and keys.
    """
    others = anchors if keys is None else keys
    counts = class_counts(others)
    own = counts[anchors.classes]
    positives = own if keys is not None else own - 1
    takes_part = anchors.filled & (positives > 0)
    dtype = anchors.embeddings.dtype
    weights = takes_part.to(dtype) / (takes_part.sum().clamp_min(1) * positives.clamp_min(1))
    loss: Tensor = _PairContrast.apply(
        anchors.embeddings,
        others.embeddings.to(dtype),
        anchors.classes.to(dtype),  # torch compares floats several times as fast as integers
        others.classes.to(dtype),
        weights,
        counts[:-1].sum() > own,
        _MASKED * ~others.filled,
        temperature,
        keys is None,
    )
    return loss


def class_counts(samples: Samples) -> Tensor:
    """Number of samples of each class, the last one that of empty slots, ``[N + 1]`` int64."""
    zeros = torch.zeros(samples.num_classes + 1, dtype=torch.long, device=samples.classes.device)
    return zeros.scatter_add(0, samples.classes, torch.ones_like(samples.classes))


class _PairContrast(torch.autograd.Function):
    """Gradients are made together with the loss, since a block of rows then has all that they depend on."""

    @staticmethod
    def forward(
        ctx: Any,
        anchors: Tensor,
        keys: Tensor,
        classes: Tensor,
        key_classes: Tensor,
        weights: Tensor,
        has_negatives: Tensor,
        penalty: Tensor,
        temperature: float,
        among_themselves: bool,
    ) -> Tensor:
        loss = anchors.new_zeros(())
        gradients = [
            torch.zeros_like(rows) if wanted else None
            for rows, wanted in zip((anchors, keys), ctx.needs_input_grad[:2], strict=True)
        ]
        number = max(1, _BLOCK_PAIRS.get(anchors.device.type, _BLOCK_PAIRS_DEVICE) // max(1, keys.shape[0]))
        for start in range(0, anchors.shape[0], number):
            rows = slice(start, start + number)
            scaled = anchors[rows] / temperature
            same = anchors.new_empty(scaled.shape[0], keys.shape[0])
            torch.eq(classes[rows, None], key_classes, out=same)
            itself = same.diagonal(start) if among_themselves else None
            part, gradient = _block(scaled @ keys.T, same, itself, weights[rows], has_negatives[rows], penalty)
            loss += part
            if gradients[0] is not None:
                torch.mm(gradient, keys, out=gradients[0][rows]).div_(temperature)
            if gradients[1] is not None:
                gradients[1].addmm_(gradient.T, scaled)
        ctx.save_for_backward(*gradients)
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        to_anchors, to_keys = (None if part is None else part * grad for part in ctx.saved_tensors)
        return to_anchors, to_keys, None, None, None, None, None, None, None


def _block(
    similarity: Tensor, same: Tensor, itself: Tensor | None, weights: Tensor, has_negatives: Tensor, penalty: Tensor
) -> tuple[Tensor, Tensor]:
    """Weighted loss of some anchors, and its gradient with respect to their similarities; works in place.

    Args:
        similarity: s = z·z/τ, ``[R, K]``.
        same: 1 where a key has the anchor's class, else 0, ``[R, K]``.
        itself: View of ``same`` where an anchor meets itself, if it does.
        weights: Weight of each of an anchor's positive pairs, ``[R]``.
        has_negatives: Boolean ``[R]``.
        penalty: What keeps an empty slot out of the negatives, ``[K]``.
    """
    logits = torch.sub(similarity, same, alpha=_MASKED).sub_(penalty)
    negatives = logits.softmax(1)
    log_partition = logits.amax(1) - negatives.amax(1).log()  # cheaper than logsumexp where the softmax is there
    log_partition = torch.where(has_negatives, log_partition, -_MASKED)
    if itself is not None:
        itself.zero_()
    margin = similarity.neg_().add_(log_partition.unsqueeze(1))
    positives = margin.sigmoid().mul_(same)
    gradient = negatives.mul_((positives.sum(1) * weights).unsqueeze(1)).sub_(positives.mul_(weights.unsqueeze(1)))
    # softplus(x) = relu(x) − log sigmoid(|x|), several times as fast as torch's own on a CPU
    losses = margin.relu().sub_(margin.abs_().sigmoid_().log_()).mul_(same)
    return (losses.sum(1) * weights).sum(), gradient
