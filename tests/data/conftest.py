"""Tiny copies of the layouts that datasets come in, written into temporary folders."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from contextrast.data import LabelTable, SegmentationDataset


class Stripes(SegmentationDataset):
    """A dataset of numbered grey images, so that tests can tell from a batch which samples are in it."""

    labels = LabelTable("stripes", ("left", "right"), ((255, 0, 0), (0, 255, 0)))

    def __init__(self, root=None, split="train", length=10, sizes=((8, 12),), transform=None):
        super().__init__(transform)
        self.root, self.split, self.length, self.sizes = root, split, length, sizes

    def __len__(self):
        return self.length

    def name(self, index):
        return f"{self.split}{index}"

    def source(self, index):
        return f"stripes {self.split} #{index}"

    def read(self, index):
        height, width = self.sizes[index % len(self.sizes)]
        mask = np.zeros((height, width), np.uint8)
        mask[:, width // 2 :] = 1
        return np.full((height, width, 3), index, np.uint8), mask


def save(path: Path, pixels) -> Path:
    """Writes an array as an image file; its suffix names the format."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(pixels, dtype=np.uint8)).save(path)
    return path


def grey(index: int, height: int = 4, width: int = 6):
    return np.full((height, width, 3), 10 * index, np.uint8)


@pytest.fixture
def segnet_root(tmp_path):
    """SegNet's layout with three training frames and one each of val and test; frame i's mask is all i."""
    root = tmp_path / "segnet"
    for split, count in (("train", 3), ("val", 1), ("test", 1)):
        for index in range(count):
            save(root / split / f"{split}_{index}.png", grey(index))
            save(root / f"{split}annot" / f"{split}_{index}.png", np.full((4, 6), index))
    return root


@pytest.fixture
def camvid_root():
    root = os.environ.get("CONTEXTRAST_CAMVID")
    if not root:
        pytest.skip("CONTEXTRAST_CAMVID is not set: it names the folder of the real CamVid")
    return root
