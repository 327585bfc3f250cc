"""Measures of a segmentation: torchmetrics subclasses whose states are sums."""

from contextrast.metrics.segmentation import Scores, SegmentationScores, scores_from_counts

__all__ = ["Scores", "SegmentationScores", "scores_from_counts"]
