"""One call of each contrastive loss, and of each base beside it."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Final

import segmentation_models_pytorch as smp
import torch
from torch import Tensor, nn

from contextrast.benchmarks.inputs import class_logits, label_maps, stage_embeddings, training
from contextrast.benchmarks.measuring import CONSOLE, CPU, alternating, copy_bandwidth, spread, table
from contextrast.benchmarks.operations import Operations
from contextrast.callbacks.costs import added_memory
from contextrast.config import instantiate
from contextrast.contrast import ContrastiveLoss, CrossEntropy, LovaszSoftmax, SoftDice, SoftTversky
from contextrast.training.host_memory import keep_freed_memory

ONE_MAP = ("pixel_contrast", "pixel_contrast_memory")
"""Losses that look at a single map of embeddings, of stride 4 here; all others look at four stages."""


def losses(
    repetitions: int,
    methods: Sequence[str],
    bases: Sequence[str],
    num_classes: Sequence[int],
    size: Sequence[int],
    batch_size: int,
) -> dict[str, float]:
    """One call of the contrastive terms, forward, backward and update: D 256, stages of stride 4 to 32.

    Beside them each loss that a base is made of, on logits of the images' size, and Lovász as
    segmentation_models_pytorch has it, which sorts (``smp_lovasz``). The softmax that a base takes by itself is in it.

    The roofline is the time that embeddings take to be read once and their gradient to be written once, at the
    bandwidth of a large copy: what no loss with a gradient for every pixel can go below.
    """
    numbers: dict[str, float] = {"bytes_per_second": copy_bandwidth()}
    sizes = (batch_size, *size)
    for key, call in _calls(methods, bases, num_classes, sizes).items():
        with Operations() as operations:
            call()  # the first one makes what stays
        numbers |= {
            f"{key} megabytes": added_memory(call, CPU) / 2**20,
            f"{key} roofline": call.moved_bytes() / numbers["bytes_per_second"],
            f"{key} operations": len(operations.names),
            f"{key} host reads": len(operations.host_reads()),
        }
    keep_freed_memory()  # as training does on a CPU
    headings = ("loss", "classes", "median s", "range s", "added MB", "roofline s", "operations", "host reads")
    shown = table(f"Losses, forward + backward, {'x'.join(map(str, sizes))}, D 256", *headings)
    for key, seconds in alternating(_calls(methods, bases, num_classes, sizes), repetitions).items():
        numbers |= {
            f"{key} seconds": statistics.median(seconds),
            f"{key} fastest": min(seconds),
            f"{key} slowest": max(seconds),
        }
        method, _, classes = key.rpartition(" ")
        counted = (f"{numbers[f'{key} {what}']:.0f}" for what in ("operations", "host reads"))
        megabytes, bound = f"{numbers[f'{key} megabytes']:.0f}", f"{numbers[f'{key} roofline']:.3f}"
        shown.add_row(method, classes, *spread(seconds), megabytes, bound, *counted)
    CONSOLE.print(shown)
    CONSOLE.print(f"bandwidth of a copy: {numbers['bytes_per_second'] / 1e9:.1f} GB/s")
    _print_ratios(numbers, [*methods, *bases], num_classes)
    return numbers


class LossCall:
    """A step of a loss on unit-length embeddings.

    Args:
        method: A file of conf/loss, and overrides: ``contextrast loss/negatives=all``.
        num_classes: N.
        embeddings: Of all stages, shallowest first; calls may share them.
        maps: Target and prediction ``[B, H, W]``.
    """

    def __init__(self, method: str, num_classes: int, embeddings: list[Tensor], maps: tuple[Tensor, Tensor]) -> None:
        self._loss = build_loss(method, num_classes)
        self._maps = maps
        self._embeddings = maps_of(method, embeddings)

    def __call__(self) -> None:
        """Forward, backward and update."""
        step(self._loss, self._embeddings, *self._maps)

    def moved_bytes(self) -> int:
        """Bytes of the embeddings and of their gradient."""
        return sum(2 * embedding.nbytes for embedding in self._embeddings)


class BaseCall:
    """A step of a loss of logits, which are of the size of the images.

    Args:
        base: The loss.
        logits: ``[B, N, H, W]``; calls may share them.
        target: ``[B, H, W]``.
    """

    def __init__(self, base: nn.Module, logits: Tensor, target: Tensor) -> None:
        self._base = base
        self._logits = logits
        self._target = target

    def __call__(self) -> None:
        """Forward and backward."""
        self._base(self._logits, self._target).backward()
        self._logits.grad = None  # as torch frees a gradient

    def moved_bytes(self) -> int:
        """Bytes of the logits and of their gradient."""
        return 2 * self._logits.nbytes


BASES: Final[Mapping[str, Callable[[], nn.Module]]] = MappingProxyType(
    {
        "cross_entropy": CrossEntropy,
        "focal": partial(CrossEntropy, focal_gamma=2.0),
        "lovasz": LovaszSoftmax,
        "dice": SoftDice,
        "tversky": SoftTversky,
        "smp_lovasz": partial(smp.losses.LovaszLoss, "multiclass", ignore_index=255),
    }
)
"""Losses of logits that are measured, each alone."""


def _calls(
    methods: Sequence[str], bases: Sequence[str], num_classes: Sequence[int], sizes: Sequence[int]
) -> dict[str, LossCall | BaseCall]:
    """Calls of all methods and bases at all class counts, which share embeddings and logits, by ``NAME CLASSES``."""
    batch_size, height, width = sizes
    embeddings = stage_embeddings(batch_size, height // 4, width // 4)
    calls: dict[str, LossCall | BaseCall] = {}
    for classes in num_classes:
        maps = label_maps(batch_size, height, width, classes)
        calls |= {f"{method} {classes}": LossCall(method, classes, embeddings, maps) for method in methods}
        if bases:
            logits = class_logits(maps[1], classes)
            calls |= {f"{base} {classes}": BaseCall(BASES[base](), logits, maps[0]) for base in bases}
    return calls


def build_loss(method: str, num_classes: int, embedding_dim: int = 256) -> ContrastiveLoss:
    """The loss of a method, a file of conf/loss and overrides, for stages as wide as HRNet-W48's."""
    name, *overrides = method.split()
    settings = training(f"loss={name}", f"loss.embedding_dim={embedding_dim}", *overrides).loss
    loss: ContrastiveLoss = instantiate(settings, num_classes=num_classes, in_channels=[48, 96, 192, 384])
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
    terms = loss.contrast(embeddings, target, prediction)
    torch.stack(list(terms.values())).sum().backward()  # type: ignore[no-untyped-call]
    loss.update()
    loss.zero_grad()
    for embedding in embeddings:
        embedding.grad = None  # as torch frees a gradient
