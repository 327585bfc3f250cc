"""One call of each contrastive loss."""

import statistics
from collections.abc import Callable, Sequence

import torch
from hydra import compose, initialize_config_dir
from torch import Tensor

from contextrast.benchmarks.inputs import label_maps, stage_embeddings
from contextrast.benchmarks.measuring import CONSOLE, added_memory, alternating, spread, table
from contextrast.config import config_directory, instantiate
from contextrast.contrast import ContrastiveLoss

ONE_MAP = ("pixel_contrast", "pixel_contrast_memory")
"""Losses that look at a single map of embeddings, of stride 4 here; all others look at four stages."""


def losses(repetitions: int, methods: Sequence[str], num_classes: Sequence[int]) -> dict[str, float]:
    """One call of the contrastive terms, forward and backward: batch 4, D 256, strides 4 to 32 of 512x1024 pixels."""
    numbers: dict[str, float] = {}
    shown = table("Contrastive terms, forward + backward", "loss", "classes", "median s", "range s", "added memory MB")
    for classes in num_classes:
        calls = {method: loss_call(method, classes) for method in methods}
        for method, seconds in alternating(calls, repetitions).items():
            megabytes = added_memory(calls[method])
            numbers |= {f"{method} seconds {classes}": statistics.median(seconds)}
            numbers |= {f"{method} megabytes {classes}": megabytes}
            shown.add_row(method, str(classes), *spread(seconds), f"{megabytes:.0f}")
    CONSOLE.print(shown)
    for method in methods:
        for classes in num_classes[1:]:
            ratio = numbers[f"{method} seconds {classes}"] / numbers[f"{method} seconds {num_classes[0]}"]
            CONSOLE.print(f"{method}: {classes} classes / {num_classes[0]} classes: {ratio:.2f}")
    for method in methods[1:]:
        ratio = numbers[f"{method} seconds {num_classes[0]}"] / numbers[f"{methods[0]} seconds {num_classes[0]}"]
        CONSOLE.print(f"{method} / {methods[0]} at {num_classes[0]} classes: {ratio:.2f}")
    return numbers


def loss_call(method: str, num_classes: int) -> Callable[[], None]:
    """A step of the loss ``loss=METHOD`` on unit-length embeddings."""
    loss = build_loss(method, num_classes)
    target, prediction = label_maps(4, 512, 1024, num_classes)
    embeddings = maps_of(method, stage_embeddings(4, 128, 256))
    return lambda: step(loss, embeddings, target, prediction)


def build_loss(method: str, num_classes: int, embedding_dim: int = 256) -> ContrastiveLoss:
    """The loss ``loss=METHOD`` for stages as wide as HRNet-W48's."""
    with initialize_config_dir(str(config_directory().resolve()), version_base="1.3"):
        settings = compose("train", [f"loss={method}", f"loss.embedding_dim={embedding_dim}"])
        loss: ContrastiveLoss = instantiate(settings.loss, num_classes=num_classes, in_channels=[48, 96, 192, 384])
    return loss


def maps_of(method: str, embeddings: list[Tensor]) -> list[Tensor]:
    """Those of the stages' embeddings that a loss looks at."""
    return embeddings[:1] if method in ONE_MAP else embeddings


def step(loss: ContrastiveLoss, embeddings: list[Tensor], target: Tensor, prediction: Tensor) -> None:
    """Forward, backward and update of the contrastive terms; gradients are freed."""
    terms, _ = loss.contrast.forward_with_diagnostics(embeddings, target, prediction)
    torch.stack(list(terms.values())).sum().backward()  # type: ignore[no-untyped-call]
    loss.contrast.update()
    loss.zero_grad()
    for embedding in embeddings:
        embedding.grad = None
