"""How much memory a file may ask for before anything is allocated."""

from __future__ import annotations

import os
from pathlib import Path

from napari_unet.errors import ImageError

EAGER_BYTES = 512 * 2**20  # smaller images are read at once, larger ones piece by piece
_FRACTION = 0.5
_UNKNOWN_MACHINE = 4 * 2**30


def memory_budget() -> int:
    """Return half of the memory that is free now, in bytes."""
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(int(line.split()[1]) * 1024 * _FRACTION)
        return int(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") * _FRACTION)
    except (OSError, ValueError, AttributeError):
        # Neither Linux nor POSIX: a size that every machine that runs napari has.
        return int(_UNKNOWN_MACHINE * _FRACTION)


def check_budget(nbytes: int, name: str, piece: str = "an image") -> None:
    """Refuse what does not fit into memory.

    Parameters
    ----------
    nbytes : int
        Bytes that a file's metadata ask for.
    name : str
        The file.
    piece : str
        What would be read, in words.

    Raises
    ------
    ImageError
        If it is more than `memory_budget`.
    """
    budget = memory_budget()
    if nbytes > budget:
        raise ImageError(
            f"The file {name!r} declares {piece} of {in_words(nbytes)}; {in_words(budget)} of memory can be used.",
            "Save it as OME-Zarr or as a tiled TIFF, which are read piece by piece, or crop it.",
        )


def in_words(nbytes: int) -> str:
    """Return a number of bytes as a person writes it.

    Examples
    --------
    >>> in_words(126), in_words(40 * 2**30)
    ('126 bytes', '40.0 GiB')
    """
    if nbytes < 1024:
        return f"{nbytes} bytes"
    size = float(nbytes)
    for unit in ("KiB", "MiB", "GiB", "TiB"):
        size /= 1024
        if size < 1024 or unit == "TiB":
            break
    return f"{size:.1f} {unit}"
