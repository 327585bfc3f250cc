"""Gated sums of two anchors: weights that depend on the anchors themselves, so that every class has its own."""

import torch
from torch import Tensor, nn

from contextrast.contrast.fusion.base import LearnedFusion, Linear


class _GatedFusion(LearnedFusion):
    gates: nn.ModuleList

    def fuse(self, stage: int, own: Tensor, deepest: Tensor) -> Tensor:
        """Gated sum g a_i + (1 − g) a_I, ``[N, D]``."""
        gate = torch.sigmoid(self.gates[stage](torch.cat([deepest, own], 1)))
        return gate * own + (1 - gate) * deepest


class GatedScalarFusion(_GatedFusion):
    """One gate a class: g = σ(w·(a_I^n ⊕ a_i^n) + b), a scalar; â_i^n = g a_i^n + (1 − g) a_I^n.

    A row of Contextrast++'s ablation of which the paper prints only the name, "gated scalar"; this is its plainest
    reading. 2D + 1 parameters a stage, 513 at D = 256. torch's initialisation: the gates start close to 0.5.

    Args:
        num_stages: I.
        embedding_dim: D.

    Raises:
        ConfigError: If a value is below 1.
    """

    def __init__(self, num_stages: int, embedding_dim: int = 256) -> None:
        super().__init__(num_stages, embedding_dim)
        self.gates = self.per_stage(lambda: Linear(2 * embedding_dim, 1))


class GatedChannelFusion(_GatedFusion):
    """One gate a class and channel: g = σ(W(a_I^n ⊕ a_i^n) + b), a vector; â_i^n = g ⊙ a_i^n + (1 − g) ⊙ a_I^n.

    A row of Contextrast++'s ablation of which the paper prints only the name, "gated channel-wise"; this is its
    plainest reading. 2D² + D parameters a stage, 131,328 at D = 256. torch's initialisation: the gates start close to
    0.5.

    Args:
        num_stages: I.
        embedding_dim: D.

    Raises:
        ConfigError: If a value is below 1.
    """

    def __init__(self, num_stages: int, embedding_dim: int = 256) -> None:
        super().__init__(num_stages, embedding_dim)
        self.gates = self.per_stage(lambda: Linear(2 * embedding_dim, embedding_dim))
