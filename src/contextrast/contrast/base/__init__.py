"""Losses of logits and target: what a contrast is added to."""

from contextrast.contrast.base.class_weights import balanced_weights
from contextrast.contrast.base.cross_entropy import CrossEntropy
from contextrast.contrast.base.lovasz import LovaszSoftmax
from contextrast.contrast.base.overlap import SoftDice, SoftTversky
from contextrast.contrast.base.weighted import WeightedLosses

__all__ = ["CrossEntropy", "LovaszSoftmax", "SoftDice", "SoftTversky", "WeightedLosses", "balanced_weights"]
