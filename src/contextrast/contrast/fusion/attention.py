"""Fusion by attention between the channels of single anchors: adaptive fusion and what it is compared with."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from contextrast.contrast.fusion.base import LearnedFusion, Linear
from contextrast.contrast.fusion.layers import FusionMlp
from contextrast.errors import ConfigError


class ChannelAttention(nn.Module):
    """Attention between the D channels of one anchor, or of one anchor to another: F of Contextrast++, Eq. 3.

    q, k, v are biased linear maps of the anchor, F(a) = softmax(q kᵀ/√D) v; the ``[D, D]`` softmax mixes the channels.
    Several heads split the channels into as many groups and scale by the square root of a group's size.

    The scores are of rank one, a sequence of D tokens of one channel each to torch's fused attention, whose CPU kernel
    keeps no ``[D, D]`` matrix. On other devices torch may take a form that does, N·D² numbers an attention.

    The maps start as multiples of the identity and biases as 0. With torch's defaults the scores of a unit vector are
    about 1e-4: the softmax is flat, F(a) is the mean of v in every channel, the fused anchors of all classes coincide
    (cosines of 0.998), and next to no gradient reaches q and k. Here v starts as a and the typical score of an anchor
    of length 0.7 is 1, where F(a) is close to a multiple of a for all lengths that anchors have.

    Args:
        embedding_dim: D.
        num_heads: Number of heads.
    """

    def __init__(self, embedding_dim: int, num_heads: int = 1) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.scale = (embedding_dim // num_heads) ** -0.5
        gain = (2 * embedding_dim / self.scale) ** 0.5  # the entries of an anchor of length √½ are about 1/√(2D)
        self.query = _scaled_identity(embedding_dim, gain)
        self.key = _scaled_identity(embedding_dim, gain)
        self.value = _scaled_identity(embedding_dim, 1.0)

    def forward(self, anchors: Tensor, context: Tensor) -> Tensor:
        """Attention of the channels of each anchor to those of its context.

        Args:
            anchors: What queries come from, ``[N, D]``.
            context: What keys and values come from, ``[N, D]``; the same anchors for self-attention.

        Returns:
            ``[N, D]``.
        """
        query, key, value = (
            layer(source).unflatten(1, (self.num_heads, -1)).unsqueeze(-1)  # [N, heads, channels as tokens, 1]
            for layer, source in ((self.query, anchors), (self.key, context), (self.value, context))
        )
        return F.scaled_dot_product_attention(query, key, value, scale=self.scale).flatten(1)


def attend(attentions: Sequence[ChannelAttention], anchors: Tensor, contexts: Tensor) -> Tensor:
    """What several attentions with equally many heads give for their anchors and contexts, ``[A, N, D]`` each."""
    layers = [getattr(one, name) for name in ("query", "key", "value") for one in attentions]
    tokens = mapped(layers, torch.cat([anchors, contexts, contexts]))  # [3A, N, D]
    heads = tokens.reshape(3, -1, attentions[0].num_heads, anchors.shape[2] // attentions[0].num_heads, 1)
    query, key, value = heads.unbind()
    return F.scaled_dot_product_attention(query, key, value, scale=attentions[0].scale).view(anchors.shape)


def mapped(layers: Sequence[nn.Linear], inputs: Tensor) -> Tensor:
    """Each layer's map of its own inputs, ``[A, N, in]`` to ``[A, N, out]``, in the inputs' precision."""
    weights = torch.stack([layer.weight for layer in layers]).to(inputs.dtype)
    biases = torch.stack([layer.bias for layer in layers]).to(inputs.dtype)
    # In this order the weights' gradient comes out in their own layout.
    return torch.baddbmm(biases.unsqueeze(2), weights, inputs.mT).mT


def _scaled_identity(size: int, gain: float) -> Linear:
    linear = Linear(size, size)
    with torch.no_grad():
        nn.init.eye_(linear.weight).mul_(gain)
        linear.bias.zero_()
    return linear


class _AttentionFusion(LearnedFusion):
    """Two channel attentions, of the deepest anchor and of the stage's own, and the MLP that joins them."""

    def __init__(self, num_stages: int, embedding_dim: int, num_heads: int = 1) -> None:
        super().__init__(num_stages, embedding_dim)
        self.deepest_attentions = self.per_stage(lambda: ChannelAttention(embedding_dim, num_heads))
        self.own_attentions = self.per_stage(lambda: ChannelAttention(embedding_dim, num_heads))
        self.mlps = self.per_stage(lambda: FusionMlp(embedding_dim, inputs=2))

    def fuse(self, stage: int, own: Tensor, deepest: Tensor) -> Tensor:
        """MLP(F(a_I) ⊕ F(a_i)), ``[N, D]``."""
        attended = [self.deepest_attentions[stage](deepest, deepest), self.own_attentions[stage](own, own)]
        fused: Tensor = self.mlps[stage](torch.cat(attended, 1))
        return fused

    def fuse_all(self, own: Tensor, deepest: Tensor) -> Tensor:
        """Fuse all stages at once, ``[I - 1, N, D]``: the layers of all attentions are one batch of matrices."""
        attentions = [*self.deepest_attentions, *self.own_attentions]
        sources = torch.cat([deepest.expand_as(own), own])  # [2(I - 1), N, D]
        attended = attend(attentions, sources, self.contexts(sources))
        layers = [layer for mlp in self.mlps for layer in mlp.modules() if isinstance(layer, Linear)]
        return mapped(layers, torch.cat(attended.chunk(2), 2)).tanh()

    def contexts(self, sources: Tensor) -> Tensor:
        """What keys and values of each attention come from: the anchors themselves."""
        return sources


class AdaptiveFusion(_AttentionFusion):
    """Adaptive fusion (Contextrast++, Eq. 3): â_i^n = MLP(F(a_I^n) ⊕ F(a_i^n)), with F of :class:`ChannelAttention`.

    Each stage but the deepest has two attentions of its own, for a_I and for a_i, of three biased D×D maps each, and
    an MLP of one biased 2D→D layer: 8D² + 7D parameters a stage, 526,080 at D = 256, which are the paper's totals. For
    the non-linearity, which it does not print, and for the initialisation see :class:`FusionMlp` and
    :class:`ChannelAttention`.

    Args:
        num_stages: I.
        embedding_dim: D.

    Raises:
        ConfigError: If a value is below 1.
    """

    def __init__(self, num_stages: int, embedding_dim: int = 256) -> None:
        super().__init__(num_stages, embedding_dim)


class MultiHeadFusion(_AttentionFusion):
    """Adaptive fusion with several heads: each head's softmax mixes its own D/h channels.

    F(a) = concat_h softmax(q_h k_hᵀ/√(D/h)) v_h and â_i^n = MLP(F(a_I^n) ⊕ F(a_i^n)). A row of Contextrast++'s ablation
    of which the paper prints only the name, "multi-head"; read here as adaptive fusion with one thing changed. The MLP
    is the output projection. As many parameters as :class:`AdaptiveFusion`, 526,080 a stage at D = 256, and its
    initialisation.

    Args:
        num_stages: I.
        embedding_dim: D.
        num_heads: h; the paper prints none.

    Raises:
        ConfigError: If a value is below 1, or the heads do not divide D.
    """

    def __init__(self, num_stages: int, embedding_dim: int = 256, num_heads: int = 8) -> None:
        if num_heads < 1 or embedding_dim % num_heads:
            raise ConfigError(
                f"num_heads must be a positive divisor of embedding_dim={embedding_dim}, got {num_heads}: "
                "every head takes the same number of channels"
            )
        super().__init__(num_stages, embedding_dim, num_heads)


class CrossAttentionFusion(_AttentionFusion):
    """Adaptive fusion whose attentions look at the other anchor: keys and values come from it, queries from its own.

    F(a; c) = softmax(q(a) k(c)ᵀ/√D) v(c) and â_i^n = MLP(F(a_I^n; a_i^n) ⊕ F(a_i^n; a_I^n)). A row of Contextrast++'s
    ablation of which the paper prints only the name, "cross-attention"; read here as adaptive fusion with one thing
    changed. As many parameters as :class:`AdaptiveFusion`, 526,080 a stage at D = 256, and its initialisation.

    Args:
        num_stages: I.
        embedding_dim: D.

    Raises:
        ConfigError: If a value is below 1.
    """

    def __init__(self, num_stages: int, embedding_dim: int = 256) -> None:
        super().__init__(num_stages, embedding_dim)

    def contexts(self, sources: Tensor) -> Tensor:
        """What keys and values of each attention come from: the other anchors."""
        return torch.cat(sources.chunk(2)[::-1])

    def fuse(self, stage: int, own: Tensor, deepest: Tensor) -> Tensor:
        """MLP(F(a_I; a_i) ⊕ F(a_i; a_I)), ``[N, D]``."""
        attended = [self.deepest_attentions[stage](deepest, own), self.own_attentions[stage](own, deepest)]
        fused: Tensor = self.mlps[stage](torch.cat(attended, 1))
        return fused
