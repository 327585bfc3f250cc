"""Freed memory stays with a training process: counted in pages that the system had to clear."""

import gc
import subprocess
import sys

import pytest

from contextrast.training.host_memory import collecting_often

_PAGE_FAULTS = """
import resource, sys
from contextrast.training.host_memory import keep_freed_memory

if sys.argv[1] == "keep":
    keep_freed_memory()
for _ in range(2):
    b"x" * 2**26  # the first one brings the process to its peak
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    b"x" * 2**26
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(mode):
    done = subprocess.run([sys.executable, "-c", _PAGE_FAULTS, mode], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="asks glibc")
def test_freed_memory_is_used_again_without_new_pages():
    assert page_faults("keep") < page_faults("leave") / 10


_LEFTOVERS = """
import contextlib, gc, sys
from collections import deque
from contextrast.training.host_memory import collecting_often

class Leftover:
    alive = most = 0

    def __init__(self):
        self.itself = self
        Leftover.alive += 1
        Leftover.most = max(Leftover.most, Leftover.alive)

    def __del__(self):
        Leftover.alive -= 1

imported = [[] for _ in range(600_000)]
gc.collect()
used = deque(maxlen=10_000)  # as a validation's, which are old when nothing needs them any more
with collecting_often() if sys.argv[1] == "collect" else contextlib.nullcontext():
    for _ in range(400_000):
        used.append(Leftover())
print(Leftover.most)
"""


def test_leftovers_do_not_wait_until_they_are_as_many_as_what_was_imported():
    most = {}
    for mode in ("collect", "leave"):
        done = subprocess.run([sys.executable, "-c", _LEFTOVERS, mode], capture_output=True, text=True, check=True)
        most[mode] = int(done.stdout)
    assert most["collect"] < most["leave"] / 1.5


def test_what_was_there_before_can_be_given_back_afterwards():
    with collecting_often():
        assert gc.get_freeze_count() > 1000
    assert gc.get_freeze_count() == 0
