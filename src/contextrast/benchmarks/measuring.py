"""Measuring a call: seconds, added memory, and how both are shown."""

import os
import statistics
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from contextrast.callbacks.costs import StepClock

_CPU = torch.device("cpu")

CONSOLE = Console(record=True, width=None if sys.stdout.isatty() else 130)
"""Where benchmarks print; it remembers what was printed."""


def timed(call: Callable[[], object], repetitions: int, device: torch.device = _CPU) -> list[float]:
    """Seconds of each repetition, after one to warm up."""
    return alternating({"": call}, repetitions, device)[""]


def alternating(
    calls: Mapping[str, Callable[[], object]], repetitions: int, device: torch.device = _CPU
) -> dict[str, list[float]]:
    """Seconds of each repetition of several calls in turn: a busy machine then slows all. The first round warms up.

    On a GPU they are those of its own clock.
    """
    clocks = {name: StepClock(device, warm_up=1) for name in calls}
    for _ in range(repetitions + 1):
        for name, call in calls.items():
            clocks[name].start()
            call()
            clocks[name].stop()
    return {name: clock.seconds() for name, clock in clocks.items()}


def added_memory(call: Callable[[], object]) -> float:
    """Megabytes by which one call raises the process's resident memory at its peak, sampled every millisecond."""
    peak, done = 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.001):
            peak = max(peak, resident_bytes())

    before = resident_bytes()
    watcher = threading.Thread(target=watch)
    watcher.start()
    call()
    done.set()
    watcher.join()
    return max(0.0, (peak - before) / 2**20)


def copy_bandwidth(megabytes: int = 256) -> float:
    """Bytes a second of the machine's memory: those read and written by the fastest of several copies of a tensor."""
    source = torch.ones(megabytes * 2**18)
    target = torch.empty_like(source)
    return 2 * source.nbytes / min(timed(lambda: target.copy_(source), 10))


def resident_bytes() -> int:
    """Resident memory of this process; Linux only."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def name_of(device: torch.device) -> str:
    """The GPU's name, or the device's type."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def table(title: str, *headings: str) -> Table:
    """A table whose first column is words and whose others are numbers."""
    made = Table(title=f"{title}, {torch.get_num_threads()} threads", title_justify="left")
    for number, heading in enumerate(headings):
        made.add_column(heading, justify="right" if number else "left")
    return made


def spread(seconds: Sequence[float]) -> tuple[str, str]:
    """Median and range, as text."""
    return f"{statistics.median(seconds):.3f}", f"{min(seconds):.3f} to {max(seconds):.3f}"
