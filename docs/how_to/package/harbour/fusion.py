"""A fusion of anchors."""

import torch
from torch import Tensor

from contextrast.contrast.fusion import AnchorFusion


class LargerFusion(AnchorFusion):
    """Takes the larger of a stage's own anchor and the deepest stage's in each channel."""

    def fuse(self, stage: int, own: Tensor, deepest: Tensor) -> Tensor:
        """Fuse anchors ``[N, D]``; which classes are in both is not this method's concern."""
        return torch.maximum(own, deepest)
