"""Data: one file a dataset, label tables, augmentation, and the data module."""

from contextrast.data.camvid import CamVid
from contextrast.data.datamodule import SegmentationDataModule
from contextrast.data.dataset import Sample, SegmentationDataset
from contextrast.data.labels import IGNORE_INDEX, LabelTable
from contextrast.data.loader import Batch
from contextrast.data.sampler import EpochSampler, SampleKey
from contextrast.data.streets import Streets
from contextrast.data.transforms import TrainTransform

__all__ = [
    "IGNORE_INDEX",
    "Batch",
    "CamVid",
    "EpochSampler",
    "LabelTable",
    "Sample",
    "SampleKey",
    "SegmentationDataModule",
    "SegmentationDataset",
    "Streets",
    "TrainTransform",
]
