"""How a process that trains on the CPU gets its memory from the system."""

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # of <malloc.h>
_INT_MAX = 2**31 - 1


def keep_freed_memory() -> None:
    """Have glibc keep freed memory for the next step; without effect where there is another C library.

    It hands large blocks back to the system, which clears every page of them again when the next step asks: a sixth of
    a training step on a CPU. The process then holds its peak until it ends.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is not None:
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, _INT_MAX)
