"""Measures of a segmentation: torchmetrics subclasses whose states are sums, or samples of a fixed size."""

from contextrast.metrics.band import BandMeanIoU
from contextrast.metrics.boundary_iou import BoundaryIoU
from contextrast.metrics.features import FeatureGeometry
from contextrast.metrics.head_mid_tail import HeadMidTail, HeadMidTailWhereKnown
from contextrast.metrics.instance_iou import CityscapesInstanceIoU
from contextrast.metrics.measure import Measure, Report, Subject
from contextrast.metrics.object_scale import ObjectScaleIoU
from contextrast.metrics.segmentation import Scores, SegmentationScores, scores_from_counts

__all__ = [
    "BandMeanIoU",
    "BoundaryIoU",
    "CityscapesInstanceIoU",
    "FeatureGeometry",
    "HeadMidTail",
    "HeadMidTailWhereKnown",
    "Measure",
    "ObjectScaleIoU",
    "Report",
    "Scores",
    "SegmentationScores",
    "Subject",
    "scores_from_counts",
]
