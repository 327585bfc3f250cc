"""Crop, batch and steps that fit the images of a dataset and the memory of this machine: tried by a few dry steps."""

import gc
import re
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from lightning.fabric import Fabric
from omegaconf import DictConfig

from contextrast.benchmarks.inputs import training
from contextrast.benchmarks.step import TrainingStep
from contextrast.callbacks.costs import forget_peak_memory, held_memory, peak_memory, seconds_of

_MULTIPLE: Final = 32
"""Pixels that sides of crops are a multiple of: the stride of the deepest maps, which then need no padding."""

_SMALLER: Final = 0.1
"""Share of the images that may be smaller than the crop, and are padded."""

_PASSES: Final = 100
"""Passes over the images, where the recipe's steps are more; the papers' are 108 on Cityscapes and 262 on CamVid."""

_SHARE: Final = 0.8
"""Of the free memory; the rest is for validation, for processes that read, and for what lies between tensors."""

_SECONDS: Final = 20.0
"""After which no larger batch is tried; what it would take is then extrapolated."""


@dataclass(frozen=True)
class Tried:
    """A batch that was trained on.

    Attributes:
        batch_size: Its images.
        memory: Bytes at the peak of a step, network and optimiser included.
        seconds: Of a step.
    """

    batch_size: int
    memory: int
    seconds: float


@dataclass(frozen=True)
class Fitting:
    """What a network can be trained with here.

    Attributes:
        network: Its name in ``conf/model``.
        crop: Height and width.
        batch_size: Images per step.
        steps: Optimiser steps.
        memory: Bytes that a step takes.
        available: Bytes that are free; None where the system does not say.
        seconds: Of a step.
        device: ``cpu`` or ``cuda``.
    """

    network: str
    crop: Sequence[int]
    batch_size: int
    steps: int
    memory: float
    available: int | None
    seconds: float
    device: str

    def sentence(self) -> str:
        """What was found, in words."""
        free = "" if self.available is None else f" of the {self.available / 1e9:.1f} GB that are free"
        hours = self.seconds * self.steps / 3600
        took = f"{hours:.1f} h" if hours >= 1 else f"{max(1, round(60 * hours))} min"
        return (
            f"{self.network} on {self.device}: a step takes about {self.seconds:.2g} s and {self.memory / 1e9:.1f} GB"
            f"{free}, and {self.steps} steps about {took}, without reading and validation. To type:"
        )

    def command(self, overrides: Sequence[str]) -> str:
        """The training, ready to be pasted.

        Args:
            overrides: What says which data it is, as typed.
        """
        own = (f"model={self.network}", f"data.crop=[{self.crop[0]},{self.crop[1]}]",
               f"data.batch_size={self.batch_size}", f"recipe.steps={self.steps}",
               f"recipe.val_interval={max(1, self.steps // 10)}")  # fmt: skip
        return shlex.join(["contextrast-train", *overrides, *own])


def fitting(network: str, sizes: Mapping[tuple[int, int], int], overrides: Sequence[str]) -> Fitting:
    """Find what a network can be trained with on some images; its steps are those of ``loss=contextrast``.

    Args:
        network: Its name in ``conf/model``.
        sizes: How many training images there are of each height and width.
        overrides: What says which data they are.

    Raises:
        Exception: Whatever keeps it from taking a step.
    """
    base = [*overrides, f"model={network}", "model.encoder_weights=null"]
    config = training(*base)
    images = sum(sizes.values())
    crop = fitting_crop(config.data.crop, sizes)
    most = max(1, min(config.data.batch_size, images))
    fabric = Fabric(accelerator=config.trainer.accelerator, devices=1, precision=config.trainer.precision)
    available = free_memory(fabric.device)
    limit = None if available is None else _SHARE * available
    tried = list(_tried(_overridden(base, crop), fabric, most, limit))
    batch_size, memory, seconds = fitting_batch(tried, most, limit)
    steps = max(1, min(config.recipe.steps, -(-_PASSES * images // batch_size)))
    return Fitting(network, crop, batch_size, steps, memory, available, seconds, fabric.device.type)


def fitting_crop(wanted: Sequence[int], sizes: Mapping[tuple[int, int], int]) -> list[int]:
    """The largest crop up to a wanted one that few images are smaller than, in multiples of 32 where it is smaller.

    Args:
        wanted: Height and width.
        sizes: How many images there are of each height and width.
    """
    crop = []
    for axis, side in enumerate(wanted):
        lengths = sorted(size[axis] for size, count in sizes.items() for _ in range(count))
        short = lengths[int(_SMALLER * (len(lengths) - 1))]
        crop.append(side if short >= side else max(_MULTIPLE, short // _MULTIPLE * _MULTIPLE))
    return crop


def fitting_batch(tried: Sequence[Tried], most: int, limit: float | None) -> tuple[int, float, float]:
    """The largest batch that fits, with the bytes and seconds of a step, by a line through the last two tried.

    Args:
        tried: Batches from small to large, all of which fitted.
        most: The largest that is wanted.
        limit: Bytes that a step may take; None: any.
    """
    last = tried[-1]
    before = tried[-2] if len(tried) > 1 else Tried(0, 0, 0.0)
    images = last.batch_size - before.batch_size
    per_image = max(0.0, (last.memory - before.memory) / images)
    if last.batch_size < most and limit is not None and per_image:
        most = min(most, last.batch_size + max(0, int((limit - last.memory) / per_image)))
    further = most - last.batch_size
    return most, last.memory + further * per_image, last.seconds * most / last.batch_size


def free_memory(device: torch.device) -> int | None:
    """Bytes that are free on a device; of a CPU's machine those that Linux says are available."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        found = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text())
    except OSError:
        return None
    return None if found is None else 1024 * int(found[1])


def _tried(overrides: Sequence[str], fabric: Fabric, most: int, limit: float | None) -> Iterator[Tried]:
    """Steps on batches that double, as long as they fit, and for some seconds.

    Raises:
        RuntimeError: If not even the smallest fits.
    """
    began, batch_size, tried = time.monotonic(), min(2, most), list[Tried]()
    while True:
        try:
            one = _step(training(*overrides, f"data.batch_size={batch_size}"), fabric, batch_size)
        except RuntimeError as error:
            if not tried or "memory" not in str(error):
                raise
            return
        tried.append(one)
        yield one
        batch_size = min(2 * batch_size, most)
        larger = one.memory * batch_size / one.batch_size
        if one.batch_size == most or time.monotonic() - began > _SECONDS or (limit is not None and larger > limit):
            return


def _step(config: DictConfig, fabric: Fabric, batch_size: int) -> Tried:
    gc.collect()  # what the batch before has left
    if fabric.device.type == "cuda":
        torch.cuda.empty_cache()
    forget_peak_memory(fabric.device)
    held = held_memory(fabric.device)
    step = TrainingStep(config, fabric)
    step()  # which makes the optimiser's state
    seconds = seconds_of(step, fabric.device)
    return Tried(batch_size, max(1, peak_memory(fabric.device) - held), seconds)


def _overridden(base: Sequence[str], crop: Sequence[int]) -> list[str]:
    """Further settings of the dry steps: four noise batches are enough, and no gradient is compared."""
    return [*base, f"data.crop=[{crop[0]},{crop[1]}]", "module.gradient_interval=null"]
