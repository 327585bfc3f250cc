"""What one process of a group does; in a file of its own, as every process has to import it."""

from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist

from contextrast.contrast import (
    AllNegatives,
    AnchorMemory,
    BoundaryAwareNegatives,
    ContextrastLoss,
    CrossEntropy,
    CrossEntropyLoss,
    LovaszSoftmax,
    RandomNegatives,
    SemiHardNegatives,
    SoftDice,
    SoftTversky,
    WeightedLosses,
)
from contextrast.contrast.collective import value_at
from contextrast.contrast.peers import MultiscaleLoss, PixelContrastLoss, PixelMemory
from tests.contrast.cases import label_maps

BATCH, CLASSES, CHANNELS, SIZES = 4, 5, (6, 4, 3), ((16, 20), (8, 10), (4, 5))
WEIGHTS = (0.1, 0.5, 1.0)
PEERS = ("pixel_contrast", "pixel_contrast_memory", "multiscale", "multiscale_cut")


def peers():
    """The peers' losses, freshly made; the last one has more groups than samples."""
    pixel = {"start_step": 0, "embedding_dim": 8, "max_samples": 60, "max_views": 3}
    scales = {"stage_weights": (1.0, 0.7, 0.4), "cross_stages": ((0, 2), (0, 1)), "embedding_dim": 8, "min_pixels": 2}
    made = (
        lambda: PixelContrastLoss(CLASSES, CHANNELS, **pixel),
        lambda: PixelContrastLoss(CLASSES, CHANNELS, **pixel, memory=PixelMemory(CLASSES, 8, 9, pixels_a_step=4)),
        lambda: MultiscaleLoss(CLASSES, CHANNELS, **scales, max_samples=50),
        lambda: MultiscaleLoss(CLASSES, CHANNELS, **scales, max_samples=7),
    )
    return dict(zip(PEERS, made))


def every_base():
    """All losses that a base is made of, with weights of their own."""
    return WeightedLosses(
        {"cross_entropy": 0.7, "lovasz": 0.5, "dice": 0.2, "tversky": 2.0},
        cross_entropy=CrossEntropy(label_smoothing=0.1, focal_gamma=2.0), lovasz=LovaszSoftmax(), dice=SoftDice(),
        tversky=SoftTversky(),
    )  # fmt: skip


def losses():
    """Every loss, freshly made with the same parameters, in float64 and with batch norm in evaluation mode."""
    class_weights = [1.0, 2.0, 0.5, 1.0, 1.5]
    options = {
        "predicted": {},
        "others": {"negatives": BoundaryAwareNegatives(error_map="others")},
        "literal": {"negatives": BoundaryAwareNegatives(error_map="literal")},
        "all": {"negatives": AllNegatives()},
        "random": {"negatives": RandomNegatives()},
        "semi_hard": {"negatives": SemiHardNegatives()},
        "fill_deepest": {"fill_deepest": True},
        "anchor_negatives": {"anchor_negatives": 0.7},
        "mean_negatives": {"anchor_negatives": 0.7, "reduce_negatives": "mean"},
        **{f"memory_{design}": {"memory": AnchorMemory(CLASSES, 8, 15, design=design)} for design in
           ("class_prioritised", "earliest", "deepest", "all", "pixel")},
        "weighted": {"base": CrossEntropy(class_weights, 0.1)},
        "bases": {"base": every_base()},
    }  # fmt: skip
    hard = {"ohem": {"ohem_threshold": 0.05}, "ohem_share": {"ohem_threshold": 0.05, "ohem_min_share": 0.4}}
    made = {"ce": CrossEntropyLoss(CLASSES, CHANNELS)}
    for base in (LovaszSoftmax(), LovaszSoftmax(7), SoftDice(), SoftTversky()):
        made[f"{type(base).__name__} {len(made)}"] = CrossEntropyLoss(CLASSES, CHANNELS, base)
    for name, chosen in hard.items():
        made[name] = CrossEntropyLoss(CLASSES, CHANNELS, CrossEntropy(class_weights, **chosen))
    for name, chosen in options.items():
        torch.manual_seed(0)
        made[name] = ContextrastLoss(CLASSES, CHANNELS, WEIGHTS, embedding_dim=8, **chosen)
    for name, make in peers().items():
        torch.manual_seed(0)
        made[name] = make()
    for loss in made.values():
        loss.double()
        for module in loss.modules():
            module.eval() if isinstance(module, torch.nn.BatchNorm2d) else None
    return made


def batch(seed):
    """Logits, target and features of the global batch; class 4 is in the last image alone."""
    generator = torch.Generator().manual_seed(seed)
    target, _ = label_maps(generator, BATCH, 64, 80, CLASSES - 1, patch=8)
    target[-1, :24, :24] = CLASSES - 1
    logits = torch.randn(BATCH, CLASSES, 64, 80, generator=generator, dtype=torch.float64)
    features = [
        torch.randn(BATCH, c, h, w, generator=generator, dtype=torch.float64)
        for c, (h, w) in zip(CHANNELS, SIZES, strict=True)
    ]
    return logits, target, features


def train(loss, share):
    """Three steps on a share of the images; returns what DDP would see: losses, gradients, and the loss's state.

    Diagnostics are those of the last step.
    """
    values = []
    for step in range(3):
        logits, target, features = batch(step)
        logits = logits[share].requires_grad_()
        features = [feature[share].requires_grad_() for feature in features]
        terms = loss(logits, target[share], features)
        loss.zero_grad()
        terms.total.backward()
        diagnostics = terms.diagnose()
        loss.update()
        values.append(terms.total.detach())
    parameters = {name: value.grad for name, value in loss.named_parameters() if value.grad is not None}
    inputs = [logits.grad, *(feature.grad for feature in features if feature.grad is not None)]
    return {
        "values": torch.stack(values),
        "parameters": parameters,
        "inputs": inputs,
        "state": loss.state_dict(),
        "diagnostics": diagnostics,
    }


def ascending(dtype, share):
    """Numbers to look for positions in: probabilities, many of them equal, and the 2 of ignored pixels."""
    generator = torch.Generator().manual_seed(0)
    numbers = torch.rand(1001, generator=generator, dtype=dtype)
    numbers[::3] = numbers[::3].mul(4).round().div(4)
    numbers[::7] = 2.0
    return numbers[share].sort().values


def found(share):
    """Values at many positions of all numbers, by their type's name."""
    positions = torch.arange(0, 1001, 8)
    return {
        str(dtype): torch.cat([value_at(ascending(dtype, share), position) for position in positions])
        for dtype in (torch.float32, torch.float64)
    }


def train_in_a_group(rank, world, folder: Path):
    """Train every loss on this process's images and save what came out as ``<rank>.pt``."""
    meeting = f"file://{folder}/meeting"
    dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=world, timeout=timedelta(minutes=5))
    try:
        share = slice(rank, None, world)
        results = {name: train(loss, share) for name, loss in losses().items()}
        results["found"] = found(share)
        torch.save(results, folder / f"{rank}.pt")
    finally:
        dist.destroy_process_group()
