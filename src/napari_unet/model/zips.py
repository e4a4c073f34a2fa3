"""Zip archives from strangers: what they can raise, and whether their bytes are whole. Free of torch."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from napari_unet.errors import CheckpointError, first_line
from napari_unet.model.tensorfile import DAMAGED

# What a damaged, truncated or encrypted archive can raise while its list or a member is read.
ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, OSError, ValueError, EOFError, RuntimeError)


def check_zip(file: Path | BinaryIO, name: str, check: Callable[[list[zipfile.ZipInfo]], None]) -> None:
    """Check the list of an archive's members, then their checksums.

    Parameters
    ----------
    file : Path or binary file
        The archive.
    name : str
        For messages.
    check : callable
        Gets the members before any of them is read; raises if they are not as they should be.

    Raises
    ------
    CheckpointError
        If the archive is damaged, or what `check` raises.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            check(archive.infolist())
            wrong = archive.testzip()
    except ZIP_ERRORS as error:
        raise CheckpointError(f"{name} is a damaged archive: {first_line(error)}.", DAMAGED) from error
    if wrong is not None:
        raise CheckpointError(f"{name} is damaged: the checksum of {wrong} is wrong.", DAMAGED)
