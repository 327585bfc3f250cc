"""One call of each contrastive loss."""

import statistics
from collections.abc import Sequence

import torch
from hydra import compose, initialize_config_dir
from torch import Tensor

from contextrast.benchmarks.inputs import label_maps, stage_embeddings
from contextrast.benchmarks.measuring import CONSOLE, added_memory, alternating, copy_bandwidth, spread, table
from contextrast.benchmarks.operations import Operations
from contextrast.config import config_directory, instantiate
from contextrast.contrast import ContrastiveLoss

ONE_MAP = ("pixel_contrast", "pixel_contrast_memory")
"""Losses that look at a single map of embeddings, of stride 4 here; all others look at four stages."""


def losses(
    repetitions: int, methods: Sequence[str], num_classes: Sequence[int], size: Sequence[int], batch_size: int
) -> dict[str, float]:
    """One call of the contrastive terms, forward, backward and update: D 256, stages of stride 4 to 32.

    The roofline is the time that embeddings take to be read once and their gradient to be written once, at the
    bandwidth of a large copy: what no loss with a gradient for every pixel can go below.
    """
    numbers: dict[str, float] = {"bytes_per_second": copy_bandwidth()}
    headings = ("loss", "classes", "median s", "range s", "added MB", "roofline s", "operations", "host reads")
    height, width = size
    shown = table(f"Contrastive terms, forward + backward, {batch_size}x{height}x{width}, D 256", *headings)
    for classes in num_classes:
        calls = {method: LossCall(method, classes, (height, width), batch_size) for method in methods}
        for method, seconds in alternating(calls, repetitions).items():
            call, key = calls[method], f"{method} {classes}"
            with Operations() as operations:
                call()
            numbers |= {
                f"{key} seconds": statistics.median(seconds),
                f"{key} fastest": min(seconds),
                f"{key} slowest": max(seconds),
                f"{key} megabytes": added_memory(call),
                f"{key} roofline": call.moved_bytes() / numbers["bytes_per_second"],
                f"{key} operations": len(operations.names),
                f"{key} host reads": len(operations.host_reads()),
            }
            counted = (f"{numbers[f'{key} {what}']:.0f}" for what in ("operations", "host reads"))
            megabytes, bound = f"{numbers[f'{key} megabytes']:.0f}", f"{numbers[f'{key} roofline']:.3f}"
            shown.add_row(method, str(classes), *spread(seconds), megabytes, bound, *counted)
    CONSOLE.print(shown)
    CONSOLE.print(f"bandwidth of a copy: {numbers['bytes_per_second'] / 1e9:.1f} GB/s")
    _print_ratios(numbers, methods, num_classes)
    return numbers


class LossCall:
    """A step of a loss on unit-length embeddings.

    Args:
        method: A file of conf/loss, and overrides: ``contextrast loss/negatives=all``.
        num_classes: N.
        size: Height and width of the images.
        batch_size: B.
    """

    def __init__(self, method: str, num_classes: int, size: tuple[int, int], batch_size: int) -> None:
        self._loss = build_loss(method, num_classes)
        self._maps = label_maps(batch_size, *size, num_classes)
        self._embeddings = maps_of(method, stage_embeddings(batch_size, size[0] // 4, size[1] // 4))

    def __call__(self) -> None:
        """Forward, backward and update."""
        step(self._loss, self._embeddings, *self._maps)

    def moved_bytes(self) -> int:
        """Bytes of the embeddings and of their gradient."""
        return sum(2 * embedding.nbytes for embedding in self._embeddings)


def build_loss(method: str, num_classes: int, embedding_dim: int = 256) -> ContrastiveLoss:
    """The loss of a method, a file of conf/loss and overrides, for stages as wide as HRNet-W48's."""
    name, *overrides = method.split()
    with initialize_config_dir(str(config_directory().resolve()), version_base="1.3"):
        settings = compose("train", [f"loss={name}", f"loss.embedding_dim={embedding_dim}", *overrides])
        loss: ContrastiveLoss = instantiate(settings.loss, num_classes=num_classes, in_channels=[48, 96, 192, 384])
    return loss


def _print_ratios(numbers: dict[str, float], methods: Sequence[str], num_classes: Sequence[int]) -> None:
    for method in methods:
        for classes in num_classes[1:]:
            ratio = numbers[f"{method} {classes} seconds"] / numbers[f"{method} {num_classes[0]} seconds"]
            CONSOLE.print(f"{method}: {classes} classes / {num_classes[0]} classes: {ratio:.2f}")
    for method in methods[1:]:
        ratio = numbers[f"{method} {num_classes[0]} seconds"] / numbers[f"{methods[0]} {num_classes[0]} seconds"]
        CONSOLE.print(f"{method} / {methods[0]} at {num_classes[0]} classes: {ratio:.2f}")


def maps_of(method: str, embeddings: list[Tensor]) -> list[Tensor]:
    """Those of the stages' embeddings that a loss looks at."""
    return embeddings[:1] if method.partition(" ")[0] in ONE_MAP else embeddings


def step(loss: ContrastiveLoss, embeddings: list[Tensor], target: Tensor, prediction: Tensor) -> None:
    """Forward, backward and update of the contrastive terms; gradients are freed."""
    terms, _ = loss.contrast.forward_with_diagnostics(embeddings, target, prediction)
    torch.stack(list(terms.values())).sum().backward()  # type: ignore[no-untyped-call]
    loss.contrast.update()
    loss.zero_grad()
    for embedding in embeddings:
        embedding.grad = None
