"""How a process that trains gets its memory from the system, and gives objects back."""

import ctypes
import gc
import mmap
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # of <malloc.h>
_INT_MAX = 2**31 - 1
_RESERVED = 2**33  # addresses that lie in huge pages; what is used of them is what training needs


def keep_freed_memory() -> None:
    """Have glibc keep freed memory for the next step, in huge pages; without effect where there is another C library.

    It would hand large blocks back to the system, which clears every page of them again when the next step asks: with
    the smaller number of pages, a tenth of a training step on a CPU. The process then holds its peak until it ends.
    """
    if not sys.platform.startswith("linux"):
        return
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "mallopt"):  # musl
        return
    libc.mallopt(_M_MMAP_MAX, 0)  # from here on everything comes from the heap ...
    libc.mallopt(_M_TRIM_THRESHOLD, _INT_MAX)  # ... which never shrinks
    libc.malloc.restype = ctypes.c_void_p
    start = libc.malloc(ctypes.c_size_t(_RESERVED))
    if start is None:
        return
    page = start + -start % mmap.PAGESIZE
    libc.madvise(ctypes.c_void_p(page), ctypes.c_size_t(_RESERVED - mmap.PAGESIZE), mmap.MADV_HUGEPAGE)
    libc.free(ctypes.c_void_p(start))


@contextmanager
def collecting_often() -> Iterator[None]:
    """Inside the ``with``, have Python's collector pass over what was there before, so that it visits the rest often.

    It looks for objects that hold each other only when those that are new are a quarter of all. There are 600,000 of
    modules and of what was built, so that leftovers of a thousand steps, 3 MB of each validation, came together before.
    """
    gc.collect()
    gc.freeze()
    gc.collect()  # which sets what a quarter is of
    try:
        yield
    finally:
        gc.unfreeze()  # else nothing of it is ever given back, and libraries complain when the process ends
