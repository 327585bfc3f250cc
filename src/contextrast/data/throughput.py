"""How fast a data module delivers training batches: on the clock, in processor time, and on the device."""

import itertools
import time
from collections.abc import Iterator
from typing import Any

import torch
from lightning.fabric.utilities import move_data_to_device

from contextrast.data.datamodule import SegmentationDataModule
from contextrast.data.loader import TrainLoader

_WARM_UP = 4  # batches per worker: what it has prepared before the clock starts does not count


def samples_per_second(datamodule: SegmentationDataModule, repetitions: int, batches: int = 16) -> list[float]:
    """Training samples a second that reach the main process, with the workers that the data module has.

    Args:
        datamodule: The data module.
        repetitions: How often to measure.
        batches: Batches per measurement.
    """
    stream = _endless(datamodule.train_dataloader())
    _take(stream, _WARM_UP * max(1, datamodule.num_workers))
    speeds = []
    for _ in range(repetitions):
        start = time.perf_counter()
        _take(stream, batches)
        speeds.append(batches * datamodule.batch_size / (time.perf_counter() - start))
    return speeds


def processor_seconds(datamodule: SegmentationDataModule, repetitions: int, batches: int = 16) -> list[float]:
    """Processor time that one training sample takes in one process, which a busy machine does not change much.

    Reading, augmenting (where the CPU does that) and collating are in it, sending batches between processes is not.
    The arguments are those of `samples_per_second`.
    """
    workers, datamodule.num_workers = datamodule.num_workers, 0
    stream = _endless(datamodule.train_dataloader())
    datamodule.num_workers = workers
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
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    batch = next(_endless(datamodule.train_dataloader()))
    batch = move_data_to_device(batch, accelerator or torch.device("cpu"))
    seconds = []
    for _ in range(repetitions + 1):
        start = time.perf_counter()
        datamodule.on_after_batch_transfer(batch, 0)
        if accelerator is not None:
            torch.accelerator.synchronize()
        seconds.append((time.perf_counter() - start) / datamodule.batch_size)
    return seconds[1:]  # the first one warms up


def _endless(loader: TrainLoader) -> Iterator[Any]:
    while True:
        yield from loader


def _take(stream: Iterator[Any], count: int) -> None:
    for _ in itertools.islice(stream, count):
        pass
