"""The clock counts steps alone, and the memory is what a run took."""

import time
from mmap import PAGESIZE, mmap

import pytest
import torch

from contextrast.callbacks.costs import StepClock, WaitClock, forget_peak_memory, peak_memory

CPU = torch.device("cpu")


@pytest.fixture
def timed(monkeypatch):
    """A clock that has timed batches of given durations, with ten seconds between them."""
    now = 0.0

    def run(seconds):
        nonlocal now
        clock = StepClock(CPU)
        for duration in seconds:
            clock.start()
            now += duration
            clock.stop()
            now += 10
        return clock

    monkeypatch.setattr("contextrast.callbacks.costs.time.perf_counter", lambda: now)
    return run


def test_the_median_leaves_out_warm_up_and_waiting(timed):
    assert timed([9] * 5).median() is None, "nothing but warm-up"
    assert timed([9, 9, 9, 9, 9, 1, 2, 4]).median() == pytest.approx(2)


def test_several_batches_make_a_step(timed):
    assert timed([9] * 10 + [1, 2] * 3 + [7]).median(batches=2) == pytest.approx(3)


def test_waits_are_those_between_batches_but_not_around_a_validation(monkeypatch):
    now = 0.0
    monkeypatch.setattr("contextrast.callbacks.costs.time.perf_counter", lambda: now)
    clock = WaitClock()
    for batch, (wait, work) in enumerate([(9, 1)] * 5 + [(1, 3), (2, 3), (100, 3), (3, 3)]):
        now += wait
        clock.start()
        now += work
        clock.stop()
        assert (clock.share() is None) == (batch < 5), "nothing but warm-up"
        if batch == 6:
            clock.interrupt()
    assert clock.share() == pytest.approx((1 + 2 + 3) / (1 + 2 + 3 + 4 * 3))


def test_peak_memory_is_of_this_run():
    forget_peak_memory(CPU)
    before = peak_memory(CPU)
    with mmap(-1, 2**28) as large:  # of the system itself: a process that trained keeps what it frees
        for page in range(0, len(large), PAGESIZE):
            large[page] = 1
        during = peak_memory(CPU)
        assert during - before > 0.9 * len(large)
    assert peak_memory(CPU) == during
    forget_peak_memory(CPU)
    assert peak_memory(CPU) < during - 2**27


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_the_device_s_time_and_memory_count():
    device = torch.device("cuda", torch.cuda.current_device())
    forget_peak_memory(device)
    clock, matrix = StepClock(device), torch.ones(4096, 4096, device=device)
    for _ in range(9):
        clock.start()
        for _ in range(20):
            matrix = matrix @ matrix / 4096
        clock.stop()
    torch.cuda.synchronize()
    began = time.perf_counter()
    for _ in range(20):
        matrix = matrix @ matrix / 4096
    torch.cuda.synchronize()
    assert clock.median() == pytest.approx(time.perf_counter() - began, rel=0.5)
    assert peak_memory(device) >= 2 * matrix.nbytes
