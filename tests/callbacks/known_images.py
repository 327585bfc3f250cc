"""Images with known predictions."""

from types import SimpleNamespace
from typing import NamedTuple

import lightning.pytorch as pl
import torch
from torch import Tensor

CLASSES = ("sky", "road", "pole")
NUMBER = len(CLASSES)


class Images(NamedTuple):
    prediction: Tensor
    target: Tensor
    names: list[str]


def images() -> Images:
    """Five images whose labels have areas, void, and predictions of no class."""
    generator = torch.Generator().manual_seed(0)
    target = torch.randint(NUMBER, (5, 4, 5), generator=generator).repeat_interleave(6, 1).repeat_interleave(6, 2)
    target[:, :2] = 255
    noise = torch.randint(NUMBER + 1, target.shape, generator=generator)
    prediction = torch.where(torch.rand(target.shape, generator=generator) < 0.3, noise, target)
    return Images(prediction, target, ["e", "d", "c", "b", "a"])


class Known(pl.LightningModule):
    """Predicts what batches say."""

    labels = SimpleNamespace(num_classes=NUMBER, classes=CLASSES)
    name = "val/single_scale"

    def test_step(self, batch):
        return {"prediction": batch["prediction"]}
