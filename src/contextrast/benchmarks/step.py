"""A training step with a contrastive loss against one with cross-entropy alone."""

import itertools
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from lightning import seed_everything
from lightning.fabric import Fabric
from omegaconf import DictConfig
from torch.optim import Optimizer

from contextrast.benchmarks.inputs import label_maps, training
from contextrast.benchmarks.measuring import CONSOLE, spread, table
from contextrast.callbacks.costs import forget_peak_memory, held_memory, peak_memory, seconds_of
from contextrast.data import Batch
from contextrast.data.labels import LabelTable
from contextrast.models.devices import device_name
from contextrast.training.assembly import build_datamodule, build_module
from contextrast.training.gradients import compare_gradients
from contextrast.training.host_memory import keep_freed_memory

_BASELINE = "ce"
_BATCHES = 4  # that take turns
_MB = 2**20


def step(repetitions: int, loss: Sequence[str], overrides: Sequence[str]) -> dict[str, float | str]:
    """A training step (forward, loss, backward, optimiser, update) of each loss against loss=ce, in turn.

    Images are noise and labels blobs, of the composition's crop and batch size, so that no data and no weights are
    needed; device, precision and optimiser are the composition's. Lightning's hooks and loggers are left out. Memory is
    the peak of what tensors hold on a GPU, less what the other losses' networks hold meanwhile; a CPU counts none.
    """
    names = [_BASELINE, *(name for name in dict.fromkeys(loss) if name != _BASELINE)]
    configs = {name: training(*overrides, f"loss={name}", "model.encoder_weights=null") for name in names}
    trainer = configs[_BASELINE].trainer
    fabric = Fabric(accelerator=trainer.accelerator, devices=1, precision=trainer.precision)
    if fabric.device.type == "cpu":
        keep_freed_memory()  # as training does
    steps, held = {}, {}
    for name, config in configs.items():
        before = held_memory(fabric.device)
        steps[name] = TrainingStep(config, fabric)
        for _ in range(_BATCHES):  # warms up, and makes the gradients and the optimiser's state
            steps[name]()
        held[name] = held_memory(fabric.device) - before
    seconds, peaks = _alternating(steps, fabric.device, repetitions)
    CONSOLE.print(f"Training step of {' '.join(overrides) or 'the defaults'}", soft_wrap=True)
    numbers = _times(seconds, f"{trainer.precision}, {device_name(fabric.device)}")
    if fabric.device.type == "cuda":
        own = {name: statistics.median(peaks[name]) - sum(held.values()) + held[name] for name in steps}
        numbers |= _memory(own)
    return {"device": device_name(fabric.device), "precision": str(trainer.precision), **numbers}


class TrainingStep:
    """A full training step of a composition; every call is the next one.

    Args:
        config: The composition.
        fabric: Its device and precision.
    """

    def __init__(self, config: DictConfig, fabric: Fabric) -> None:
        data = build_datamodule(config.data)
        seed_everything(config.seed, verbose=False)
        self.module = build_module(config, data).to(fabric.device).train()
        configured = cast(Mapping[str, Any], self.module.configure_optimizers())
        self._optimizer = cast(Optimizer, fabric.setup_optimizers(configured["optimizer"]))
        batches = [_batch(data.labels, data.batch_size, config.data.crop, seed) for seed in range(_BATCHES)]
        self._batches = itertools.cycle(fabric.to_device(batch) for batch in batches)
        self._fabric = fabric
        self._numbers = itertools.count(1)
        self._log_every = config.trainer.log_every_n_steps

    def __call__(self) -> None:
        """Forward, loss, backward, optimiser and update, in Lightning's order; with what is logged every so often."""
        number = next(self._numbers)
        with self._fabric.autocast():
            terms, features = self.module.training_pass(next(self._batches))
            if number % self._log_every == 0:
                terms.diagnose()
            if self.module.gradient_interval and number % self.module.gradient_interval == 0:
                compare_gradients(terms.weighted, features)
        self._optimizer.zero_grad()
        self._fabric.backward(terms.total)
        self._optimizer.step()
        self.module.update_loss()


def _batch(labels: LabelTable, batch_size: int, crop: Sequence[int], seed: int) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    height, width = crop
    image = torch.randint(0, 256, (batch_size, 3, height, width), generator=generator, dtype=torch.uint8)
    mask, _ = label_maps(batch_size, height, width, labels.num_classes, seed)
    return Batch(image=image, mask=mask, name=[f"{seed}/{index}" for index in range(batch_size)])


def _alternating(
    steps: Mapping[str, TrainingStep], device: torch.device, repetitions: int
) -> tuple[dict[str, list[float]], dict[str, list[int]]]:
    """Seconds and peak bytes of each repetition of the steps in turn."""
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    peaks: dict[str, list[int]] = {name: [] for name in steps}
    for _ in range(repetitions):
        for name, call in steps.items():
            forget_peak_memory(device)
            seconds[name].append(seconds_of(call, device))
            peaks[name].append(peak_memory(device))
    return seconds, peaks


def _times(seconds: Mapping[str, list[float]], where: str) -> dict[str, float]:
    numbers: dict[str, float] = {}
    shown = table(where, "loss", "median s", "range s", f"time / {_BASELINE}")
    for name, values in seconds.items():
        ratio = statistics.median(values) / statistics.median(seconds[_BASELINE])
        numbers |= {f"{name} seconds": statistics.median(values), f"{name} time ratio": ratio}
        numbers |= {f"{name} fastest": min(values), f"{name} slowest": max(values)}
        shown.add_row(name, *spread(values), f"{ratio:.3f}")
    CONSOLE.print(shown)
    return numbers


def _memory(peaks: Mapping[str, float]) -> dict[str, float]:
    numbers: dict[str, float] = {}
    for name, peak in peaks.items():
        numbers |= {f"{name} megabytes": peak / _MB, f"{name} memory ratio": peak / peaks[_BASELINE]}
        CONSOLE.print(f"{name}: {peak / _MB:.0f} MB, {peak / peaks[_BASELINE]:.3f} of {_BASELINE}'s")
    return numbers
