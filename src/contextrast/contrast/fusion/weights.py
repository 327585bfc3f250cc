"""Weighted sums of two anchors: one pair of weights for all classes, given or learned."""

import torch
from torch import Tensor, nn

from contextrast.contrast.fusion.base import AnchorFusion, LearnedFusion
from contextrast.errors import ConfigError


class StaticFusion(AnchorFusion):
    """Weighted sum of a stage's own anchor and the deepest one (Contextrast++, Eq. 2).

    â_i^n = w_l a_i^n + w_h a_I^n. The papers print only that the weights sum to one.

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
                f"weight_low and weight_high must be non-negative and sum to one, got {weight_low} and {weight_high}"
            )
        self.weight_low = weight_low
        self.weight_high = weight_high

    def fuse(self, stage: int, own: Tensor, deepest: Tensor) -> Tensor:  # noqa: ARG002  (the same at every stage)
        """w_l a_i + w_h a_I, ``[N, D]``."""
        return self.weight_low * own + self.weight_high * deepest

    def fuse_all(self, own: Tensor, deepest: Tensor) -> Tensor:
        """Fuse all stages at once, ``[I - 1, N, D]``."""
        return self.fuse(0, own, deepest)


class WeightedSumFusion(LearnedFusion):
    """Weighted sum with learned weights: â_i^n = w_l a_i^n + w_h a_I^n, (w_l, w_h) = softmax(θ_i), θ_i of the stage.

    A row of Contextrast++'s ablation of which the paper prints only the name, "weighted sum"; this is its plainest
    reading. Two parameters a stage, none of which depends on the class. θ_i starts at 0, the weights at 0.5.

    Args:
        num_stages: I.
        embedding_dim: D.

    Raises:
        ConfigError: If a value is below 1.
    """

    def __init__(self, num_stages: int, embedding_dim: int = 256) -> None:
        super().__init__(num_stages, embedding_dim)
        self.logits = nn.ParameterList(nn.Parameter(torch.zeros(2)) for _ in range(num_stages - 1))

    def fuse(self, stage: int, own: Tensor, deepest: Tensor) -> Tensor:
        """w_l a_i + w_h a_I, ``[N, D]``."""
        weights: Tensor = self.logits[stage].to(own.dtype).softmax(0)
        return weights[0] * own + weights[1] * deepest
