"""Fusion by one layer on both anchors, and that layer, which the attention fusions end in as well."""

import torch
from torch import Tensor, nn

from contextrast.contrast.fusion.base import LearnedFusion, Linear


class FusionMlp(nn.Sequential):
    """MLP of Contextrast++, Eq. 3: one biased layer and a non-linearity, tanh(W x + b).

    The paper names no non-linearity. Embeddings have both signs and fused anchors are brought to unit length, so it has
    to keep signs: behind a ReLU no anchor could point away from another one.

    W starts as ½I for each anchor in x and b as 0 instead of at random, so that the layer starts as about the mean of
    both anchors. A random W would start with anchors that have nothing to do with their pixels, and a random b, which
    is the same for all classes, would pull the anchors of all classes together. W's norm stays that of torch's default.

    Args:
        embedding_dim: D.
        inputs: Number of anchors in x: 2 where they are concatenated, 1 where they are summed.
    """

    def __init__(self, embedding_dim: int, inputs: int) -> None:
        linear = Linear(inputs * embedding_dim, embedding_dim)
        with torch.no_grad():
            linear.weight.copy_(0.5 * torch.eye(embedding_dim).repeat(1, inputs))
            linear.bias.zero_()
        super().__init__(linear, nn.Tanh())


class ConcatMlpFusion(LearnedFusion):
    """One layer on the concatenated anchors: â_i^n = tanh(W(a_I^n ⊕ a_i^n) + b), W ``[D, 2D]``.

    A row of Contextrast++'s ablation of which the paper prints only the name, "concat+MLP"; this is its plainest
    reading: :class:`AdaptiveFusion` without attention. 2D² + D parameters a stage, 131,328 at D = 256. For the
    non-linearity and the initialisation see :class:`FusionMlp`.

    Args:
        num_stages: I.
        embedding_dim: D.

    Raises:
        ConfigError: If a value is below 1.
    """

    def __init__(self, num_stages: int, embedding_dim: int = 256) -> None:
        super().__init__(num_stages, embedding_dim)
        self.mlps = self.per_stage(lambda: FusionMlp(embedding_dim, inputs=2))

    def fuse(self, stage: int, own: Tensor, deepest: Tensor) -> Tensor:
        """MLP(a_I ⊕ a_i), ``[N, D]``."""
        fused: Tensor = self.mlps[stage](torch.cat([deepest, own], 1))
        return fused


class SumMlpFusion(LearnedFusion):
    """One layer on the sum of the anchors: â_i^n = tanh(W(a_I^n + a_i^n) + b), W ``[D, D]``.

    A row of Contextrast++'s ablation of which the paper prints only the name, "element-wise sum"; read here as the sum
    in place of attention and concatenation, before the same MLP. D² + D parameters a stage, 65,792 at D = 256. For the
    non-linearity and the initialisation see :class:`FusionMlp`.

    Args:
        num_stages: I.
        embedding_dim: D.

    Raises:
        ConfigError: If a value is below 1.
    """

    def __init__(self, num_stages: int, embedding_dim: int = 256) -> None:
        super().__init__(num_stages, embedding_dim)
        self.mlps = self.per_stage(lambda: FusionMlp(embedding_dim, inputs=1))

    def fuse(self, stage: int, own: Tensor, deepest: Tensor) -> Tensor:
        """MLP(a_I + a_i), ``[N, D]``."""
        fused: Tensor = self.mlps[stage](deepest + own)
        return fused
