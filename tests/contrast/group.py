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
    RandomNegatives,
    SemiHardNegatives,
)
from tests.contrast.cases import label_maps

BATCH, CLASSES, CHANNELS, SIZES = 4, 5, (6, 4, 3), ((16, 20), (8, 10), (4, 5))
WEIGHTS = (0.1, 0.5, 1.0)


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
        **{f"memory_{design}": {"memory": AnchorMemory(CLASSES, 8, 15, design=design)} for design in
           ("class_prioritised", "earliest", "deepest", "all", "pixel")},
        "weighted": {"cross_entropy": CrossEntropy(class_weights, 0.1)},
    }  # fmt: skip
    made = {"ce": CrossEntropyLoss(CLASSES, CHANNELS)}
    for name, chosen in options.items():
        torch.manual_seed(0)
        made[name] = ContextrastLoss(CLASSES, CHANNELS, WEIGHTS, embedding_dim=8, **chosen)
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
    """Three steps on a share of the images; returns what DDP would see: losses, gradients, and the loss's state."""
    values = []
    for step in range(3):
        logits, target, features = batch(step)
        logits = logits[share].requires_grad_()
        features = [feature[share].requires_grad_() for feature in features]
        total = loss(logits, target[share], features).total
        loss.zero_grad()
        total.backward()
        loss.update()
        values.append(total.detach())
    parameters = {name: value.grad for name, value in loss.named_parameters() if value.grad is not None}
    inputs = [logits.grad, *(feature.grad for feature in features if feature.grad is not None)]
    return {"values": torch.stack(values), "parameters": parameters, "inputs": inputs, "state": loss.state_dict()}


def train_in_a_group(rank, world, folder: Path):
    """Train every loss on this process's images and save what came out as ``<rank>.pt``."""
    meeting = f"file://{folder}/meeting"
    dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=world, timeout=timedelta(minutes=5))
    try:
        size = BATCH // world
        results = {name: train(loss, slice(rank * size, (rank + 1) * size)) for name, loss in losses().items()}
        torch.save(results, folder / f"{rank}.pt")
    finally:
        dist.destroy_process_group()
