"""What one process of a group trains by the loop of the page on one's own; every process has to import it."""

import re
from datetime import timedelta
from pathlib import Path

import segmentation_models_pytorch as smp
import torch
import torch.distributed as dist

from contextrast import ContextrastLoss, FeatureTaps
from contextrast.contrast import AdaptiveFusion, AnchorMemory
from contextrast.contrast.peers import PixelContrastLoss, PixelMemory
from tests.contrast.cases import label_maps

PAGE = Path(__file__).parents[2] / "docs" / "how_to" / "own_loop.md"
WRAP = "DistributedDataParallel(Training("
BATCH, CLASSES, SIZE, STEPS = 4, 5, 64, 3


def blocks():
    """The Python of the page."""
    return re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)


def losses(channels):
    """Losses with heads and with everything that outlives a step, by name."""
    return {
        "contextrast_pp": ContextrastLoss(
            CLASSES, channels, embedding_dim=8, alpha=1.0, fusion=AdaptiveFusion, memory=AnchorMemory(CLASSES, 8, 9)
        ),
        "pixel_contrast_memory": PixelContrastLoss(
            CLASSES, channels, embedding_dim=8, alpha=1.0, start_step=0, max_views=3,
            memory=PixelMemory(CLASSES, 8, 9, pixels_a_step=4),
        ),
    }  # fmt: skip


def batches():
    """Global batches."""
    for seed in range(STEPS):
        generator = torch.Generator().manual_seed(seed)
        images = torch.rand(BATCH, 3, SIZE, SIZE, generator=generator)
        yield images, label_maps(generator, BATCH, SIZE, SIZE, CLASSES, patch=8)[0]


def trained(name, share=slice(None), alone=False):
    """The states of network and loss after the page's loop, and the loss's before it.

    Args:
        name: Of the loss.
        share: This process's images.
        alone: Whether nothing is wrapped.
    """
    (block,) = (block for block in blocks() if WRAP in block)
    block = block.replace(WRAP, "(Training(") if alone else block
    torch.manual_seed(0)
    model = smp.FPN("resnet18", encoder_weights=None, classes=CLASSES, decoder_dropout=0.0)
    taps = FeatureTaps(model)
    criterion = losses(taps.channels)[name]
    for part in (*model.modules(), *criterion.modules()):  # whose statistics are of a process's own images
        part.eval() if isinstance(part, torch.nn.BatchNorm2d) else None
    before = {key: value.clone() for key, value in criterion.state_dict().items()}
    shares = [(images[share], target[share]) for images, target in batches()]
    exec(compile(block, str(PAGE), "exec"), {"model": model, "criterion": criterion, "taps": taps, "batches": shares})
    return {"model": model.state_dict(), "loss": criterion.state_dict(), "before": before}


def train_in_a_group(rank, world, folder: Path):
    """Train every loss on this process's images and save what came out as ``<rank>.pt``."""
    meeting = f"file://{folder}/meeting"
    dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=world, timeout=timedelta(minutes=5))
    try:
        results = {name: trained(name, slice(rank, None, world)) for name in losses((1, 1, 1, 1))}
        torch.save(results, folder / f"{rank}.pt")
    finally:
        dist.destroy_process_group()
