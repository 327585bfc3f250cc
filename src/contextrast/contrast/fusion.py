"""Fusion of a stage's anchors with those of the deepest stage, which carry the global context."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from contextrast.errors import ConfigError


class StaticFusion(nn.Module):
    """Weighted sum of a stage's own anchor and the deepest one (Contextrast++, Eq. 2).

    â_i^n = w_l a_i^n + w_h a_I^n where class n occurs at both stages, else a_i^n; the deepest stage stays as it is.
    The papers print only that the weights sum to one.

    Args:
        weight_low: w_l, the share of the stage's own anchor.
        weight_high: w_h, the share of the deepest stage's anchor.

    Raises:
        ConfigError: If the weights are negative or do not sum to one.
    """

    def __init__(self, weight_low: float = 0.5, weight_high: float = 0.5) -> None:
        super().__init__()
        if min(weight_low, weight_high) < 0 or abs(weight_low + weight_high - 1) > 1e-6:
            raise ConfigError(
                f"fusion weights must be non-negative and sum to one, got weight_low={weight_low} and "
                f"weight_high={weight_high}"
            )
        self.weight_low = weight_low
        self.weight_high = weight_high

    def forward(self, anchors: Sequence[Tensor], counts: Sequence[Tensor]) -> list[Tensor]:
        """Fuse anchors ``[N, D]`` of all stages, given the counts ``[N]`` that tell which classes occur."""
        deepest, in_deepest = anchors[-1], counts[-1] > 0
        fused = []
        for anchor, count in zip(anchors[:-1], counts[:-1], strict=True):
            both = (in_deepest & (count > 0)).unsqueeze(1)
            fused.append(torch.where(both, self.weight_low * anchor + self.weight_high * deepest, anchor))
        return [*fused, deepest]
