"""What one process of a group does; in a file of its own, as every process has to import it."""

from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from torchmetrics import MetricCollection

from contextrast.metrics import SegmentationScores
from tests.metrics.examples import CLASSES, every_measure, images


def measures() -> MetricCollection:
    """All of them, plain scores too."""
    return MetricCollection({"miou": SegmentationScores(CLASSES), **every_measure()}, compute_groups=False)


def plain(result):
    """A result as containers that can be saved: tensors, numbers, tuples and dictionaries."""
    if isinstance(result, dict):
        return {str(key): plain(value) for key, value in result.items()}
    return tuple(map(plain, result)) if isinstance(result, tuple) else result


def count_in_a_group(rank: int, world: int, folder: Path) -> None:
    """Count this process's share, image by image, compute together, and save what came out as ``<rank>.pt``.

    Shares are uneven: of two processes the first sees three images, the second two.
    """
    meeting = f"file://{folder}/meeting"
    dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=world, timeout=timedelta(minutes=5))
    try:
        collection, seen = measures(), images()
        for number in range(rank, len(seen.name), world):
            collection.update(**seen.only(slice(number, number + 1)))
        results = {name: plain(metric.compute()) for name, metric in collection.items()}
        local = int(collection["miou"].confmat.sum() + collection["miou"].missed.sum())
        torch.save({"results": results, "local": local}, folder / f"{rank}.pt")
    finally:
        dist.destroy_process_group()
