"""Data: one file a dataset, label tables, augmentation, and the data module."""

from contextrast.data.camvid import CamVid
from contextrast.data.datamodule import Batch, SegmentationDataModule
from contextrast.data.dataset import Sample, SegmentationDataset
from contextrast.data.labels import IGNORE_INDEX, LabelTable
from contextrast.data.sampler import EpochSampler, SampleKey
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
    "TrainTransform",
]
