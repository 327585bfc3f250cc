"""Freed memory stays with a training process: counted in pages that the system had to clear."""

import subprocess
import sys

import pytest

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
