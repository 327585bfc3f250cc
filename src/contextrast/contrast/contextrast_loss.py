"""Contextrast and Contextrast++ as a whole training loss."""

from collections.abc import Callable, Sequence

from torch import nn

from contextrast.contrast.anchors import RunningAnchors
from contextrast.contrast.contextual import ContextualContrast
from contextrast.contrast.heads import EmbeddingHeads
from contextrast.contrast.memory import AnchorMemory
from contextrast.contrast.segmentation import ContrastiveLoss
from contextrast.contrast.stages import weights_by_depth
from contextrast.errors import ConfigError


class ContextrastLoss(ContrastiveLoss):
    """Contextrast in any training loop: L = L_base + α·(L_PA + L_AA), with the embedding heads it needs.

    L_AA, the anchor-anchor loss of Contextrast++, is there where a memory is given.

    Args:
        num_classes: N.
        in_channels: Channels C_i of the encoder stages, shallowest first.
        stage_weights: λ_i, one for each map; by :func:`contextrast.contrast.stages.weights_by_depth` if not given,
            0.1, 0.4, 0.7, 1.0 of four.
        alpha: α, the weight of the contrastive terms.
        start_step: Optimiser steps before which α is 0.
        warmup_steps: Steps over which α rises linearly from there; 0 is none.
        temperature: τ.
        embedding_dim: D.
        fusion: Fusion of anchors, or what makes one of ``num_stages`` and ``embedding_dim``; static if not given.
        negatives: Sampling of negatives; BANE if not given.
        memory: Class queues of past anchors, or what makes them of ``num_classes`` and ``embedding_dim``.
        running_anchors_momentum: Momentum of the running anchors; None keeps none.
        fill_deepest: Let running anchors stand in for classes missing from the deepest stage of a batch.
        normalize_anchors: Bring fused anchors to unit length.
        detach_anchors: Stop gradients through the anchors.
        anchor_negatives: Weight of the other present classes' fused anchors in Z; 0 as published.
        reduce_negatives: Whether Z is the ``sum`` over negatives, as published, or their ``mean``.
        base: Loss of logits and target to which the contrast is added; plain cross-entropy if not given.
        ignore_index: Label of pixels that take part in nothing; None if there is no such label.

    Raises:
        ConfigError: If stages and their weights differ in number, or a value is out of range.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: Sequence[int],
        stage_weights: Sequence[float] | None = None,
        alpha: float = 0.1,
        start_step: int = 0,
        warmup_steps: int = 0,
        temperature: float = 0.1,
        embedding_dim: int = 256,
        fusion: nn.Module | Callable[..., nn.Module] | None = None,
        negatives: nn.Module | None = None,
        memory: AnchorMemory | Callable[..., AnchorMemory] | None = None,
        running_anchors_momentum: float | None = 0.99,
        fill_deepest: bool = False,
        normalize_anchors: bool = True,
        detach_anchors: bool = False,
        anchor_negatives: float = 0.0,
        reduce_negatives: str = "sum",
        base: nn.Module | None = None,
        ignore_index: int | None = 255,
    ) -> None:
        if stage_weights is None:
            stage_weights = weights_by_depth(len(in_channels))
        if len(in_channels) != len(stage_weights):
            raise ConfigError(
                f"stage_weights has {len(stage_weights)} values for {len(in_channels)} feature maps: give one weight "
                "for each map that is contrasted, shallowest first, or null for those that follow from their number"
            )
        heads = EmbeddingHeads(in_channels, embedding_dim)  # first, so that a seed's heads are the same in all variants
        running = None
        if running_anchors_momentum is not None:
            running = RunningAnchors(
                len(in_channels), num_classes, embedding_dim, running_anchors_momentum, fill_deepest
            )
        if fusion is not None and not isinstance(fusion, nn.Module):
            fusion = fusion(num_stages=len(in_channels), embedding_dim=embedding_dim)
        if memory is not None and not isinstance(memory, AnchorMemory):
            memory = memory(num_classes=num_classes, embedding_dim=embedding_dim)
        contrast = ContextualContrast(
            num_classes,
            stage_weights,
            temperature,
            fusion,
            negatives,
            memory,
            running,
            normalize_anchors,
            detach_anchors,
            ignore_index,
            anchor_negatives,
            reduce_negatives,
        )
        super().__init__(
            num_classes,
            heads,
            contrast,
            alpha,
            start_step,
            warmup_steps,
            base=base,
            ignore_index=ignore_index,
        )
