"""How fast a data module delivers training batches: on the clock, in processor time, and on the device."""

import itertools
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

from lightning.fabric.utilities import move_data_to_device

from contextrast.benchmarks.measuring import CPU
from contextrast.callbacks.costs import seconds_of
from contextrast.data.datamodule import SegmentationDataModule
from contextrast.data.loader import TrainLoader
from contextrast.models.devices import best_device

_WARM_UP = 4  # batches per worker: what it has prepared before the clock starts does not count


def samples_per_second(datamodule: SegmentationDataModule, repetitions: int, batches: int = 16) -> list[float]:
    """Training samples per second that reach the main process, with the workers that the data module has.

    Args:
        datamodule: The data module.
        repetitions: How often to measure.
        batches: Batches per measurement.
    """
    stream = _endless(datamodule.train_dataloader())
    _take(stream, _WARM_UP * max(1, datamodule.num_workers))
    speeds = []
    for _ in range(repetitions):
        taken = seconds_of(partial(_take, stream, batches), CPU)
        speeds.append(batches * datamodule.batch_size / taken)
    return speeds


def processor_seconds(datamodule: SegmentationDataModule, repetitions: int, batches: int = 16) -> list[float]:
    """Processor time that one training sample takes in one process, which a busy machine does not change much.

    Reading, augmenting (where the CPU does that) and collating are in it. The arguments are those of
    `samples_per_second`; the data module has no workers, whose time would not be seen.
    """
    stream = _endless(datamodule.train_dataloader())
    _take(stream, 1)
    seconds = []
    for _ in range(repetitions):
        start = time.process_time()
        _take(stream, batches)
        seconds.append((time.process_time() - start) / (batches * datamodule.batch_size))
    return seconds


def device_seconds(datamodule: SegmentationDataModule, repetitions: int) -> list[float]:
    """Time that the device takes per training sample for `on_after_batch_transfer`, without the transfer itself.

    The device is the machine's accelerator, or its CPU where it has none. The arguments are those of
    `samples_per_second`.
    """
    device = best_device()
    batch = move_data_to_device(next(_endless(datamodule.train_dataloader())), device)
    seconds = [seconds_of(lambda: datamodule.on_after_batch_transfer(batch, 0), device) for _ in range(repetitions + 1)]
    return [value / datamodule.batch_size for value in seconds[1:]]  # the first one warms up


def _endless(loader: TrainLoader) -> Iterator[Any]:
    while True:
        yield from loader


def _take(stream: Iterator[Any], count: int) -> None:
    for _ in itertools.islice(stream, count):
        pass
