"""Seconds of calls on the CPU, and how measurements are shown."""

import statistics
import sys
from collections.abc import Callable, Mapping, Sequence

import torch
from rich.console import Console

from contextrast.callbacks.costs import seconds_of
from contextrast.terminal import PLAIN, Table

CPU = torch.device("cpu")

CONSOLE = Console(record=True, width=None if sys.stdout.isatty() else 130, **PLAIN)
"""Where benchmarks print; it remembers what was printed."""


def timed(call: Callable[[], object], repetitions: int) -> list[float]:
    """Seconds of each repetition, after one to warm up."""
    return alternating({"": call}, repetitions)[""]


def alternating(calls: Mapping[str, Callable[[], object]], repetitions: int) -> dict[str, list[float]]:
    """Seconds of each repetition of several calls in turn: a busy machine then slows all. The first round warms up."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for repetition in range(repetitions + 1):
        for name, call in calls.items():
            taken = seconds_of(call, CPU)
            if repetition:
                seconds[name].append(taken)
    return seconds


def copy_bandwidth(megabytes: int = 256) -> float:
    """Bytes per second of the machine's memory: those read and written by the fastest of several copies of a tensor."""
    source = torch.ones(megabytes * 2**18)
    target = torch.empty_like(source)
    return 2 * source.nbytes / min(timed(lambda: target.copy_(source), 10))


def table(title: str, *headings: str) -> Table:
    """A table whose first column is words and whose others are numbers."""
    made = Table(f"{title}, {torch.get_num_threads()} threads")
    for number, heading in enumerate(headings):
        made.add_column(heading, justify="right" if number else "left")
    return made


def spread(seconds: Sequence[float]) -> tuple[str, str]:
    """Median and range, as text."""
    return f"{statistics.median(seconds):.3f}", f"{min(seconds):.3f} to {max(seconds):.3f}"
