"""How much memory there is to work with."""

from __future__ import annotations

import os
from pathlib import Path

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
