"""Data: one file per dataset, label tables, augmentation, and the data module."""

from contextrast.data.ade20k import ADE20K
from contextrast.data.camvid import CamVid
from contextrast.data.cityscapes import Cityscapes
from contextrast.data.coco_stuff import CocoStuff10k
from contextrast.data.datamodule import SegmentationDataModule
from contextrast.data.dataset import Sample, SegmentationDataset
from contextrast.data.files import FileDataset
from contextrast.data.folder import Folder
from contextrast.data.labels import IGNORE_INDEX, LabelTable
from contextrast.data.loader import Batch
from contextrast.data.pascal_context import PascalContext
from contextrast.data.sampler import EpochSampler, SampleKey
from contextrast.data.streets import Streets
from contextrast.data.transforms import TrainTransform

__all__ = [
    "ADE20K",
    "IGNORE_INDEX",
    "Batch",
    "CamVid",
    "Cityscapes",
    "CocoStuff10k",
    "EpochSampler",
    "FileDataset",
    "Folder",
    "LabelTable",
    "PascalContext",
    "Sample",
    "SampleKey",
    "SegmentationDataModule",
    "SegmentationDataset",
    "Streets",
    "TrainTransform",
]
