"""The method, in plain torch: usable from any training loop, without Lightning, Hydra or a particular network."""

from contextrast.contrast.anchors import RunningAnchors
from contextrast.contrast.contextual import ContextualContrast, StageDiagnostics
from contextrast.contrast.cross_entropy import CrossEntropy
from contextrast.contrast.fusion import StaticFusion
from contextrast.contrast.heads import EmbeddingHead, EmbeddingHeads
from contextrast.contrast.losses import pixel_anchor_loss
from contextrast.contrast.negatives import BoundaryAwareNegatives
from contextrast.contrast.sampling import AllNegatives, RandomNegatives, SemiHardNegatives
from contextrast.contrast.segmentation import ContextrastLoss, CrossEntropyLoss, LossTerms

__all__ = [
    "AllNegatives",
    "BoundaryAwareNegatives",
    "ContextrastLoss",
    "ContextualContrast",
    "CrossEntropy",
    "CrossEntropyLoss",
    "EmbeddingHead",
    "EmbeddingHeads",
    "LossTerms",
    "RandomNegatives",
    "RunningAnchors",
    "SemiHardNegatives",
    "StageDiagnostics",
    "StaticFusion",
    "pixel_anchor_loss",
]
