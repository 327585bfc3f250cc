"""The method, in plain torch: usable from any training loop, without Lightning, Hydra or a particular network."""

from contextrast.contrast.anchors import RunningAnchors
from contextrast.contrast.base import (
    CrossEntropy,
    LovaszSoftmax,
    SoftDice,
    SoftTversky,
    WeightedLosses,
    balanced_weights,
)
from contextrast.contrast.contextrast_loss import ContextrastLoss
from contextrast.contrast.contextual import ContextualContrast
from contextrast.contrast.fusion import (
    AdaptiveFusion,
    ConcatMlpFusion,
    CrossAttentionFusion,
    GatedChannelFusion,
    GatedScalarFusion,
    MultiHeadFusion,
    StaticFusion,
    SumMlpFusion,
    WeightedSumFusion,
)
from contextrast.contrast.heads import EmbeddingHead, EmbeddingHeads
from contextrast.contrast.losses import anchor_anchor_loss, pixel_anchor_loss
from contextrast.contrast.memory import AnchorMemory, BatchAnchors
from contextrast.contrast.negatives import BoundaryAwareNegatives
from contextrast.contrast.sampling import AllNegatives, RandomNegatives, SemiHardNegatives
from contextrast.contrast.segmentation import ContrastiveLoss, CrossEntropyLoss, LossTerms
from contextrast.contrast.state import Stateful, update_state
from contextrast.contrast.taps import FeatureTaps

__all__ = [
    "AdaptiveFusion",
    "AllNegatives",
    "AnchorMemory",
    "BatchAnchors",
    "BoundaryAwareNegatives",
    "ConcatMlpFusion",
    "ContextrastLoss",
    "ContextualContrast",
    "ContrastiveLoss",
    "CrossAttentionFusion",
    "CrossEntropy",
    "CrossEntropyLoss",
    "EmbeddingHead",
    "EmbeddingHeads",
    "FeatureTaps",
    "GatedChannelFusion",
    "GatedScalarFusion",
    "LossTerms",
    "LovaszSoftmax",
    "MultiHeadFusion",
    "RandomNegatives",
    "RunningAnchors",
    "SemiHardNegatives",
    "SoftDice",
    "SoftTversky",
    "Stateful",
    "StaticFusion",
    "SumMlpFusion",
    "WeightedLosses",
    "WeightedSumFusion",
    "anchor_anchor_loss",
    "balanced_weights",
    "pixel_anchor_loss",
    "update_state",
]
