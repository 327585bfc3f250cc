"""What one process of a group does with a memory; in a file of its own, as every process has to import it."""

from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist

from contextrast.contrast.peers import PixelContrast, PixelMemory
from tests.contrast.cases import label_maps, unit_embeddings

BATCH, CLASSES = 4, 5


def remember(share):
    """Four steps on a share of the images; returns the state of the contrast."""
    contrast = PixelContrast(CLASSES, max_views=3, memory=PixelMemory(CLASSES, 6, 9, pixels_a_step=4)).double()
    for step in range(4):
        generator = torch.Generator().manual_seed(step)
        target, prediction = label_maps(generator, BATCH, 32, 40, CLASSES - 1, patch=8)
        target[-1, :12, :12] = CLASSES - 1  # in the last image alone
        (embedding,) = unit_embeddings(generator, BATCH, 6, [(8, 10)])
        contrast([embedding[share]], target[share], prediction[share])
        contrast.update()
    return contrast.state_dict()


def remember_in_a_group(rank, world, folder: Path):
    """Save what this process's images and those of the others leave behind as ``<rank>.pt``."""
    meeting = f"file://{folder}/meeting"
    dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=world, timeout=timedelta(minutes=5))
    try:
        size = BATCH // world
        torch.save(remember(slice(rank * size, (rank + 1) * size)), folder / f"{rank}.pt")
    finally:
        dist.destroy_process_group()
