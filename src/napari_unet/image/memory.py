"""How much memory there is to work with."""

from __future__ import annotations

import ctypes
import os
import sys
from functools import cache
from pathlib import Path
from typing import Any

SHARE = 0.5  # of what is free
UNKNOWN_MACHINE = 4 * 2**30  # bytes that every machine that runs napari has


def free_memory() -> int:
    """Return the bytes of main memory that can be had now; where the system does not tell, half of all it has."""
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            # Counts what the system only caches files in; "MemFree" alone would be far too little.
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass  # not Linux
    try:
        return int(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")) // 2
    except (AttributeError, ValueError, OSError):
        return UNKNOWN_MACHINE // 2


def memory_budget(memory_gb: float | None = None) -> int:
    """Return the bytes of main memory to work with.

    Parameters
    ----------
    memory_gb : float, optional
        What was given, in 10⁹ bytes; half of what is free when omitted.

    Examples
    --------
    >>> memory_budget(1.5)
    1500000000
    """
    return int(free_memory() * SHARE) if memory_gb is None else int(memory_gb * 10**9)


def give_back() -> None:
    """Give freed memory back to the system, where its allocator keeps it (glibc).

    Work in pieces of many sizes leaves gaps between what is in use. They are filled again, but not all of them, so that
    a long run would hold more and more that it does not need.
    """
    trim = _trim()
    if trim is not None:
        trim(0)


@cache
def _trim() -> Any:
    """Return glibc's ``malloc_trim``; None where there is none."""
    if not sys.platform.startswith("linux"):
        return None
    return getattr(ctypes.CDLL(None), "malloc_trim", None)
