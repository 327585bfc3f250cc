"""What one process of a group does; in a file of its own, as every process has to import it."""

from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor

from contextrast.metrics import SegmentationScores

CLASSES = 4


def share_of(rank: int, world: int) -> tuple[Tensor, Tensor]:
    """Uneven shares: of two processes the first sees three images, the second two."""
    generator = torch.Generator().manual_seed(7)
    prediction = torch.randint(-1, CLASSES, (5, 6, 6), generator=generator)
    target = torch.randint(CLASSES, (5, 6, 6), generator=generator)
    return prediction[rank::world], target[rank::world]


def count_in_a_group(rank: int, world: int, folder: Path) -> None:
    """Count this process's share, compute together, and save what came out as ``<rank>.pt``."""
    meeting = f"file://{folder}/meeting"
    dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=world, timeout=timedelta(minutes=5))
    try:
        metric = SegmentationScores(CLASSES)
        prediction, target = share_of(rank, world)
        for image in range(len(target)):
            metric.update(prediction[image : image + 1], target[image : image + 1])
        scores = metric.compute()
        local = int(metric.confmat.sum() + metric.missed.sum())
        torch.save({"scores": scores._asdict(), "local": local}, folder / f"{rank}.pt")
    finally:
        dist.destroy_process_group()
