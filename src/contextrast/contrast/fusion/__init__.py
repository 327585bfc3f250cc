"""Fusion of a stage's anchors with those of the deepest stage, which carry the global context.

One file for each family: fixed and learned weights, gates, layers, attention. All share one interface,
``forward(anchors, counts)``, and one rule for what is fused where, :class:`AnchorFusion`.
"""

from contextrast.contrast.fusion.attention import AdaptiveFusion, CrossAttentionFusion, MultiHeadFusion
from contextrast.contrast.fusion.base import AnchorFusion, LearnedFusion
from contextrast.contrast.fusion.gates import GatedChannelFusion, GatedScalarFusion
from contextrast.contrast.fusion.layers import ConcatMlpFusion, SumMlpFusion
from contextrast.contrast.fusion.weights import StaticFusion, WeightedSumFusion

__all__ = [
    "AdaptiveFusion",
    "AnchorFusion",
    "ConcatMlpFusion",
    "CrossAttentionFusion",
    "GatedChannelFusion",
    "GatedScalarFusion",
    "LearnedFusion",
    "MultiHeadFusion",
    "StaticFusion",
    "SumMlpFusion",
    "WeightedSumFusion",
]
