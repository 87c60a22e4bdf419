"""Memory that a fit can use again.

Dask's nannies start their workers with MALLOC_TRIM_THRESHOLD_, by which the C library gives each large array back to
the system when it is freed, and takes new pages for the next. A rank makes the same arrays anew in every step.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # their numbers in glibc's malloc.h
KEPT, LARGEST = 2**29, 2**25  # bytes that may stay free, and of the largest array of which that holds
USUAL = 2**17  # glibc's own


@contextmanager
def kept_memory() -> Iterator[None]:
    """Let the C library keep freed memory meanwhile, if a nanny told it not to; nothing happens elsewhere."""
    told = os.environ.get("MALLOC_TRIM_THRESHOLD_", "")
    library = ctypes.CDLL(None) if told.isdigit() and os.name == "posix" else None
    if library is None or not hasattr(library, "mallopt"):
        yield
        return
    library.mallopt(TRIM_THRESHOLD, KEPT)
    library.mallopt(MMAP_THRESHOLD, LARGEST)
    try:
        yield
    finally:
        library.mallopt(TRIM_THRESHOLD, int(told))
        library.mallopt(MMAP_THRESHOLD, USUAL)
        library.malloc_trim(0)
