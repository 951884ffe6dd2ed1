"""Memory that a site needs again every round stays with its process.

A round takes and frees a few copies of the model. By default glibc gives such blocks back to the kernel at once, which
clears every page anew when the next round asks for it: a sixth of a site's CPU seconds (docs/exchange.md). A centre
gains nothing by it and would hold more memory.
"""

from __future__ import annotations

import ctypes

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h; see mallopt(3)
LARGEST_KEPT = 1 << 25  # bytes; the most that glibc lets M_MMAP_THRESHOLD be on 64 bits
NEVER = (1 << 31) - 1


def keep_memory() -> bool:
    """Let this process keep what it frees, up to its highest use; whether the C library knows how (glibc does)."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, LARGEST_KEPT) and mallopt(M_TRIM_THRESHOLD, NEVER))
