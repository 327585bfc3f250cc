"""The contrast between pairs of samples that both peers share (Wang et al., ICCV 2021; Pissas et al., ECCV 2022)."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from contextrast.contrast.peers.groups import Samples
from contextrast.contrast.segments import counts_of_segments

_BLOCK_ROWS = 128  # anchors at a time at least, so that keys are read few times; more of them if there are few keys
_BLOCK_PAIRS = {"cpu": 1 << 22}  # their similarities are 16 MB
_BLOCK_PAIRS_DEVICE = 1 << 24  # elsewhere: few launches
_CACHE_PAIRS = {"cpu": 1 << 18}  # pairs at a time in what works element by element, whose few matrices a cache holds
_MASKED = 1e6  # what takes a pair out of a softmax: finite, so that nothing becomes NaN, and more than any logit


def pair_contrast(anchors: Samples, keys: Samples | None, temperature: float) -> Tensor:
    """Pull every anchor to the keys of its class and push it from the others.

    l_i = 1/|P_i| Σ_{p∈P_i} softplus(log Σ_{n∈N_i} exp(z_i·z_n/τ) − z_i·z_p/τ), with P_i the keys of i's class and N_i
    those of other classes: the pixel-wise InfoNCE of Wang et al., ICCV 2021, which Pissas et al., ECCV 2022, take over.
    The loss is the mean over the anchors that have a positive. An anchor without negatives adds 0 and counts.

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
        None if keys is None else keys.embeddings.to(dtype),
        anchors.classes.to(dtype),  # torch compares floats several times as fast as integers
        others.classes.to(dtype),
        weights,
        counts[:-1].sum() > own,
        -_MASKED * (~others.filled).to(dtype),
        temperature,
    )
    return loss


def class_counts(samples: Samples) -> Tensor:
    """Number of samples of each class, the last one that of empty slots, ``[N + 1]`` int64."""
    return counts_of_segments(samples.classes, samples.num_classes + 1)


class _PairContrast(torch.autograd.Function):
    """Gradients are made together with the loss, since a block of rows then has all that they depend on."""

    @staticmethod
    def forward(
        ctx: Any,
        anchors: Tensor,
        keys: Tensor | None,
        classes: Tensor,
        key_classes: Tensor,
        weights: Tensor,
        has_negatives: Tensor,
        offset: Tensor,
        temperature: float,
    ) -> Tensor:
        loss = anchors.new_zeros(())
        others = anchors if keys is None else keys
        to_anchors = torch.zeros_like(anchors) if ctx.needs_input_grad[0] else None
        to_keys = torch.zeros_like(keys) if keys is not None and ctx.needs_input_grad[1] else None
        to_others = to_anchors if keys is None else to_keys
        block_pairs = _BLOCK_PAIRS.get(anchors.device.type, _BLOCK_PAIRS_DEVICE)
        for block in _slices(0, anchors.shape[0], max(_BLOCK_ROWS, block_pairs // len(others))):
            scaled = anchors[block] / temperature
            matrix = torch.addmm(offset, scaled, others.T)  # similarities, and then their gradient in place
            cache_pairs = _CACHE_PAIRS.get(anchors.device.type, matrix.numel())
            for part in _slices(block.start, block.stop, max(1, cache_pairs // len(others))):
                rows = matrix[part.start - block.start : part.stop - block.start]
                same = torch.eq(classes[part, None], key_classes, out=torch.empty_like(rows))
                itself = same.diagonal(part.start) if keys is None else None
                loss += _contrast_(rows, same, itself, weights[part], has_negatives[part])
            if to_anchors is not None:
                to_anchors[block].addmm_(matrix, others, alpha=1 / temperature)
            if to_others is not None:
                to_others.addmm_(matrix.T, scaled)
        ctx.save_for_backward(to_anchors, to_keys)
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        to_anchors, to_keys = (None if part is None else part * grad for part in ctx.saved_tensors)
        return to_anchors, to_keys, None, None, None, None, None, None


def _slices(first: int, stop: int, size: int) -> list[slice]:
    return [slice(start, min(start + size, stop)) for start in range(first, stop, size)]


def _contrast_(matrix: Tensor, same: Tensor, itself: Tensor | None, weights: Tensor, has_negatives: Tensor) -> Tensor:
    """Weighted loss of some anchors; their similarities are replaced by its gradient.

    Args:
        matrix: s = z·z/τ, ``[R, K]``, far below zero for keys that are empty slots; then dL/ds.
        same: 1 where a key has the anchor's class, else 0, ``[R, K]``.
        itself: View of ``same`` where an anchor meets itself, if it does.
        weights: Weight of each of an anchor's positive pairs, ``[R]``.
        has_negatives: Boolean ``[R]``.
    """
    logits = torch.sub(matrix, same, alpha=_MASKED)
    negatives = logits.softmax(1)
    log_partition = logits.amax(1) - negatives.amax(1).log()  # cheaper than logsumexp where the softmax is there
    log_partition = torch.where(has_negatives, log_partition, -_MASKED)
    if itself is not None:
        itself.zero_()
    margin = torch.sub(log_partition.unsqueeze(1), matrix, out=logits)
    shares = margin.sigmoid()
    # softplus(x) = relu(x) − log max(σ(x), 1 − σ(x)), several times as fast as torch's own on a CPU
    logs = torch.maximum(shares, 1 - shares, out=matrix).log_()
    loss = (margin.relu_().sub_(logs).mul_(same).sum(1) * weights).sum()
    shares.mul_(same)
    scale = (shares.sum(1) * weights).unsqueeze(1)
    torch.mul(negatives, scale, out=matrix).sub_(shares.mul_(weights.unsqueeze(1)))
    return loss
