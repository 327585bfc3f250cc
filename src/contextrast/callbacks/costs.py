"""What a step costs: its time and the memory that training needs."""

import contextlib
import resource
import statistics
import sys
import time
from collections import deque
from pathlib import Path

import torch

_WARM_UP = 5
"""Steps that are not timed: the first ones allocate memory, choose kernels and fill caches, workers start."""


class StepClock:
    """Times batches of training without making the host wait for the device.

    On a GPU the time between two events of its own clock, read when it has passed them; elsewhere the host's time.
    Either way it is the time from the first operation on a batch to the last, without the wait for data and without
    validation.

    Args:
        device: Where the network trains.
        warm_up: Steps that do not count.
    """

    def __init__(self, device: torch.device, warm_up: int = _WARM_UP) -> None:
        self._warm_up = warm_up
        self._events = device.type == "cuda"
        self._began: torch.cuda.Event | float = 0.0
        self._pending: deque[tuple[torch.cuda.Event, torch.cuda.Event]] = deque()
        self._seconds: list[float] = []

    def start(self) -> None:
        """A batch begins."""
        self._began = _event() if self._events else time.perf_counter()

    def stop(self) -> None:
        """The batch has been given to the device."""
        if isinstance(self._began, float):
            self._seconds.append(time.perf_counter() - self._began)
            return
        self._pending.append((self._began, _event()))
        while self._pending and self._pending[0][1].query():  # type: ignore[no-untyped-call]  # torch's stub
            self._read()

    def median(self, batches: int = 1) -> float | None:
        """Median time of a step; waits for the device, once.

        Args:
            batches: Batches that make a step.

        Returns:
            Seconds; None if there was no step after the warm-up.
        """
        steps = self.seconds(batches)
        return statistics.median(steps) if steps else None

    def seconds(self, batches: int = 1) -> list[float]:
        """Times of all steps after the warm-up, each of so many batches; waits for the device, once."""
        if self._pending:
            self._pending[-1][1].synchronize()
        while self._pending:
            self._read()
        firsts = range(0, len(self._seconds) - batches + 1, batches)
        return [sum(self._seconds[first : first + batches]) for first in firsts][self._warm_up :]

    def _read(self) -> None:
        began, ended = self._pending.popleft()
        self._seconds.append(began.elapsed_time(ended) / 1000)


class WaitClock:
    """Times how long the host waits between batches of training: for data, and for sending it to the device.

    Waits of the warm-up do not count, nor does what lies around a validation.
    """

    def __init__(self) -> None:
        self._ended: float | None = None
        self._began: float | None = None
        self._batches = 0
        self._waited = self._worked = 0.0

    def start(self) -> None:
        """A batch begins."""
        self._began = time.perf_counter()
        if self._ended is not None and self._batches >= _WARM_UP:
            self._waited += self._began - self._ended

    def stop(self) -> None:
        """The batch is done, as far as the host is concerned."""
        self._ended = time.perf_counter()
        if self._began is not None and self._batches >= _WARM_UP:
            self._worked += self._ended - self._began
        self._batches += 1

    def interrupt(self) -> None:
        """Something else than training follows."""
        self._ended = None

    def share(self) -> float | None:
        """Share of the time that was spent waiting, in [0, 1]; None if there was no batch after the warm-up."""
        return self._waited / (self._waited + self._worked) if self._worked else None


def forget_peak_memory(device: torch.device) -> None:
    """Start to look for the highest use of memory anew, where the system can do that; see `peak_memory`."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    else:
        with contextlib.suppress(OSError):  # Linux only; elsewhere an earlier job of a sweep may have been larger
            Path("/proc/self/clear_refs").write_text("5")


def peak_memory(device: torch.device) -> int:
    """The highest use of memory since `forget_peak_memory`, in bytes.

    On a GPU what tensors took of its memory, elsewhere what this process took of the machine's, without the processes
    that read data.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _event() -> torch.cuda.Event:
    event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]  # torch's stub
    event.record()
    return event
