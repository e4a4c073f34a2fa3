"""Folders that are either complete or not there."""

from __future__ import annotations

import shutil
from pathlib import Path

from napari_unet.errors import OutputError, disk_advice

_ZARR = ("zarr.json", ".zgroup", ".zarray")


def need_free(target: Path, overwrite: bool) -> None:
    """Check that a Zarr folder may be put somewhere.

    Parameters
    ----------
    target : Path
        The wanted folder.
    overwrite : bool
        A Zarr folder of that name may go; anything else never does.

    Raises
    ------
    OutputError
        If something is in the way.
    """
    if not target.exists():
        return
    if not any((target / name).is_file() for name in _ZARR):
        raise OutputError(f"{str(target)!r} exists and is no Zarr folder; it is not replaced.", "Choose another name.")
    if not overwrite:
        raise OutputError(f"The folder {str(target)!r} exists already.", "Choose another name, or say to overwrite it.")


def put_in_place(made: Path, target: Path, overwrite: bool) -> None:
    """Rename a finished folder on the same disk; one that is in the way goes only after that.

    ::

        target ──► target.replaced      made ──► target      target.replaced is removed

    Parameters
    ----------
    made : Path
        The finished folder.
    target : Path
        Its name from now on.
    overwrite : bool
        See `need_free`.

    Raises
    ------
    OutputError
        If something is in the way, or the disk fails; what was there is then there still.
    """
    need_free(target, overwrite)
    old = target.with_name(f".{target.name}.replaced")
    try:
        shutil.rmtree(old, ignore_errors=True)
        if target.exists():
            target.rename(old)
        try:
            made.rename(target)
        except OSError:
            if old.exists():
                old.rename(target)
            raise
    except OSError as error:
        raise OutputError(
            f"The labels cannot be put to {str(target)!r}: {error.strerror or error}.", disk_advice(error, "Try again.")
        ) from error
    shutil.rmtree(old, ignore_errors=True)
