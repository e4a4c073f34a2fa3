"""Arrays in files that are mapped into memory, with the room that they need. Free of torch."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

_ZEROS = bytes(2**20)


def make_mapped(path: Path, dtype: npt.DTypeLike, shape: tuple[int, ...]) -> None:
    """Make an ``.npy`` file of zeros whose room on the disk is reserved.

    A mapped file that grows into its room as it is written ends the whole process once the disk is full: there is no
    call that could fail.

    Parameters
    ----------
    path : Path
        The file; replaced if it exists.
    dtype, shape
        Of the array.

    Raises
    ------
    OSError
        If the disk has no room; there is no file then.
    """
    made: Any = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
    start, length = made.offset, made.nbytes
    del made
    try:
        with path.open("r+b") as file:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, start + length)
            elif os.name == "posix":  # macOS; Windows reserves what a file is long
                file.seek(start)
                for at in range(0, length, len(_ZEROS)):
                    file.write(_ZEROS[: length - at])
    except OSError:
        path.unlink(missing_ok=True)
        raise
