"""Samples a second of a configured loader."""

import statistics

import torch

from contextrast.benchmarks.inputs import training
from contextrast.benchmarks.measuring import CONSOLE
from contextrast.benchmarks.throughput import device_seconds, processor_seconds, samples_per_second
from contextrast.training.assembly import build_datamodule


def loader(repetitions: int, overrides: list[str]) -> dict[str, float]:
    """Training samples per second that the configured loader delivers, and the processor time that one takes."""
    config = training(*overrides).data
    data, alone = build_datamodule(config), build_datamodule({**config, "num_workers": 0})
    torch.set_num_threads(1)  # as in a loader's worker
    speeds, seconds = samples_per_second(data, repetitions), processor_seconds(alone, repetitions)
    numbers = {"samples_per_second": statistics.median(speeds), "processor_seconds": statistics.median(seconds)}
    CONSOLE.print(f"{numbers['samples_per_second']:.0f} samples per second ({min(speeds):.0f} to {max(speeds):.0f}), "
                  f"{data.num_workers} workers, augment={data.augment}", soft_wrap=True)  # fmt: skip
    CONSOLE.print(f"{1e3 * numbers['processor_seconds']:.2f} ms of processor time per sample in one process: "
                  f"{1 / numbers['processor_seconds']:.0f} per second on a free core", soft_wrap=True)  # fmt: skip
    if data.augment == "gpu":
        numbers["device_seconds"] = statistics.median(device_seconds(data, repetitions))
        CONSOLE.print(f"{1e3 * numbers['device_seconds']:.2f} ms per sample on the device")
    return numbers
