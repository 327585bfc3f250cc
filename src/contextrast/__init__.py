"""Contextrast: contextual contrastive learning for semantic segmentation."""

import os

# albumentations asks a server for its newest version on import unless this is set before.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

from contextrast.contrast import ContextrastLoss, ContextualContrast, FeatureTaps

__all__ = ["ContextrastLoss", "ContextualContrast", "FeatureTaps"]
