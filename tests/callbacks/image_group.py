"""Images with known predictions, and what one process of a group counts of them; every process has to import it."""

from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import lightning.pytorch as pl
import torch
import torch.distributed as dist
from torch import Tensor

from contextrast.callbacks import ImageCountsFile

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


def count_in_a_group(rank: int, world: int, folder: Path) -> None:
    """Count every ``world``-th image, as the sampler of evaluation shares them out; the first process writes."""
    folder.mkdir(exist_ok=True)
    meeting = f"file://{folder}/meeting"
    dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=world, timeout=timedelta(minutes=5))
    try:
        seen, callback = images(), ImageCountsFile(folder)
        trainer = SimpleNamespace(is_global_zero=rank == 0)
        callback.on_test_start(trainer, Known())
        for place in range(rank, len(seen.names), world):
            one = slice(place, place + 1)
            outputs = {"prediction": seen.prediction[one]}
            callback.on_test_batch_end(
                trainer, Known(), outputs, {"mask": seen.target[one], "name": seen.names[one]}, 0
            )
        callback.on_test_end(trainer, Known())
        dist.barrier()
    finally:
        dist.destroy_process_group()
