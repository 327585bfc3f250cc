"""Measuring a call: seconds, added memory, and how both are shown."""

import os
import statistics
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

CONSOLE = Console(record=True, width=None if sys.stdout.isatty() else 130)
"""Where benchmarks print; it remembers what was printed."""


def timed(call: Callable[[], object], repetitions: int) -> list[float]:
    """Seconds of each repetition, after one to warm up."""
    return alternating({"": call}, repetitions)[""]


def alternating(calls: Mapping[str, Callable[[], object]], repetitions: int) -> dict[str, list[float]]:
    """Seconds of each repetition of several calls in turn: a busy machine then slows all. The first round warms up."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for repetition in range(repetitions + 1):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            if repetition:
                seconds[name].append(time.perf_counter() - start)
    return seconds


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
    """Bytes per second of the machine's memory: those read and written by the fastest of several copies of a tensor."""
    source = torch.ones(megabytes * 2**18)
    target = torch.empty_like(source)
    return 2 * source.nbytes / min(timed(lambda: target.copy_(source), 10))


def resident_bytes() -> int:
    """Resident memory of this process; Linux only."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def table(title: str, *headings: str) -> Table:
    """A table whose first column is words and whose others are numbers."""
    made = Table(title=f"{title}, {torch.get_num_threads()} threads", title_justify="left")
    for number, heading in enumerate(headings):
        made.add_column(heading, justify="right" if number else "left")
    return made


def spread(seconds: Sequence[float]) -> tuple[str, str]:
    """Median and range, as text."""
    return f"{statistics.median(seconds):.3f}", f"{min(seconds):.3f} to {max(seconds):.3f}"
