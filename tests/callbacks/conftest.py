"""A network of one convolution and a data set of eight small images: whole runs in a second."""

from functools import partial
from pathlib import Path

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from contextrast.contrast import BoundaryAwareNegatives
from contextrast.data import SegmentationDataset
from contextrast.data.labels import LabelTable
from contextrast.metrics import SegmentationScores

LABELS = LabelTable(
    "blocks", ("sky", "road", "pole", "never seen"), ((9, 9, 200), (90, 60, 90), (200, 200, 9), (1, 2, 3))
)


class Blocks(SegmentationDataset):
    """Three classes as brightness, with an ignored rim; class 3 does not occur."""

    labels = LABELS

    def __len__(self) -> int:
        return 8

    def name(self, index: int) -> str:
        return f"block_{index}"

    def source(self, index: int) -> str:
        return f"blocks #{index}"

    def read(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        mask = np.random.default_rng(index).integers(0, 3, (4, 5)).repeat(6, 0).repeat(6, 1).astype(np.uint8)
        image = np.repeat((mask * 100)[..., None], 3, axis=2)
        mask[0] = 255
        return image, mask


class BlocksData(pl.LightningDataModule):
    labels = LABELS

    def dataset(self, split: str) -> Blocks:
        return Blocks()

    def train_dataloader(self):
        return torch.utils.data.DataLoader(self.dataset("train"), batch_size=2)

    def val_dataloader(self):
        return torch.utils.data.DataLoader(self.dataset("val"), batch_size=3)

    test_dataloader = val_dataloader


class Network(nn.Module):
    """Knows three of the four classes; class 3 never wins."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
        self.head = nn.Conv2d(4, 4, 1)
        with torch.no_grad():
            self.head.bias[3] = -1e4

    def forward(self, image):
        return self.head(self.encoder(image.float() / 255))


class Module(pl.LightningModule):
    """The part of the real module's interface that callbacks use."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.network = Network()
        self.loss = nn.ModuleDict({"heads": nn.Conv2d(4, 8, 1), "negatives": BoundaryAwareNegatives(percentage=30)})
        self.labels = LABELS
        self.scores = SegmentationScores(LABELS.num_classes)
        self.fail_at: int | None = None

    def predict(self, image):
        return self.network(image)

    def training_step(self, batch, batch_idx):
        if self.global_step == self.fail_at:
            raise RuntimeError("the run fails here")
        loss = F.cross_entropy(self.network(batch["image"]), batch["mask"], ignore_index=255)
        self.log("train/loss", loss)
        return loss

    def validation_step(self, batch, batch_idx):
        self.scores.update(self.predict(batch["image"]), batch["mask"])

    test_step = validation_step

    def on_validation_epoch_end(self):
        self.finish_split("val")

    def on_test_epoch_end(self):
        self.finish_split("test")

    def finish_split(self, split):
        scores = self.scores.compute()
        self.log(f"{split}/miou", scores.miou)
        self.scores.reset()

    def configure_optimizers(self):
        groups = [
            {"params": [self.network.encoder[0].weight], "lr": 0.5, "name": "encoder"},
            {"params": [self.network.encoder[0].bias], "lr": 0.5, "name": "encoder/no_decay"},
            {"params": self.network.head.parameters(), "lr": 0.25, "name": "decoder"},
        ]
        return torch.optim.SGD(groups, lr=0.1)


def make_trainer(folder: Path, callbacks: list[pl.Callback], loggers=(), **options) -> pl.Trainer:
    defaults = {
        "max_steps": 6,
        "max_epochs": -1,
        "val_check_interval": 3,
        "check_val_every_n_epoch": None,
        "num_sanity_val_steps": 1,
        "log_every_n_steps": 2,
        "accelerator": "cpu",
        "enable_model_summary": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "default_root_dir": folder,
    }
    return pl.Trainer(callbacks=callbacks, logger=list(loggers), **{**defaults, **options})


@pytest.fixture
def module() -> Module:
    return Module()


@pytest.fixture
def data() -> BlocksData:
    return BlocksData()


@pytest.fixture
def trainer_for(tmp_path: Path):
    """Makes a trainer of callbacks, loggers and options."""
    return partial(make_trainer, tmp_path)
