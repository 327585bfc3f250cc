"""Reading tiny copies of datasets through the loader that training and evaluation use."""

import json
import os
from itertools import islice
from pathlib import Path

import pytest
import torch
from PIL import Image

from contextrast.data import SegmentationDataModule


def histograms(make, root, split):
    """Pixels of each train id in each sample, {name: {train id: count}}, as they arrive in batches of one."""
    module = SegmentationDataModule(make, [64, 64], 1, root=root, num_workers=0, scale=(1, 1), flip=0)
    dataset = module.dataset(split)
    if split == "train":  # a crop of the image's size leaves it as it is
        size = [*dataset.read(0)[1].shape]
        module = SegmentationDataModule(make, size, 1, root=root, num_workers=0, scale=(1, 1), flip=0)
    loader = getattr(module, f"{split}_dataloader")()
    result = {}
    for batch in islice(loader, len(dataset)):
        values, counts = torch.unique(batch["mask"], return_counts=True)
        result[batch["name"][0]] = dict(zip(values.tolist(), counts.tolist(), strict=True))
    return result


def save_wide(path: Path, pixels):
    """Writes a mask of 16 bits."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.astype("uint16")).save(path)
    return path


def facts(name):
    """The facts about a dataset in the folder that CONTEXTRAST_FACTS names."""
    folder = os.environ.get("CONTEXTRAST_FACTS")
    if not folder:
        pytest.skip("CONTEXTRAST_FACTS is not set: it names the folder of the datasets' facts as JSON files")
    return json.loads((Path(folder) / f"{name}.json").read_text("utf-8"))
