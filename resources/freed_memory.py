"""What the C library does with memory that was freed, for processes that work through large files block by block."""

from __future__ import annotations

import ctypes
from functools import cache

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Names of `mallopt(3)` parameters."""

_KEPT_BYTES = 256 << 20
_LARGEST_KEPT_BLOCK = 32 << 20
"""The most that glibc takes for this parameter."""


@cache
def keep_freed_memory() -> None:
    """Let this process keep freed blocks for the next ones of their size.

    glibc gives a block of some MiB back to the kernel as soon as it is freed, which zeroes every page of the next one:
    framing and parsing a 326 MB file spent an eighth of their CPU time on that. Elsewhere than on glibc: nothing.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    mallopt(_MMAP_THRESHOLD, _LARGEST_KEPT_BLOCK)
    mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)
