"""Models that are more than bare weights: bioimage.io packages, TorchScript, ONNX, and our files that hold these."""

from __future__ import annotations

import stat
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from napari_unet.model.packages.archive import MAX_MEMBERS, is_package
from napari_unet.model.program import Kind, is_onnx, is_torchscript
from napari_unet.model.zips import ZIP_ERRORS

if TYPE_CHECKING:
    from napari_unet.model.checkpoint import Checkpoint
    from napari_unet.model.header import CheckpointHeader


def open_container(path: Path, own: CheckpointHeader | None) -> Checkpoint | None:
    """Open a package or a program; None if the path is neither.

    Parameters
    ----------
    path : Path
        What the user picked.
    own : CheckpointHeader or None
        Its header, if it is one of our own files.

    Raises
    ------
    ConsentNeeded
        If code would have to run that nobody allowed.
    CheckpointError
        If it is damaged or cannot be used.
    """
    if own is not None:
        if own.program is None:
            return None
        from napari_unet.model.programs import open_stored

        return open_stored(path)
    if is_package(path):
        from napari_unet.model.packages.opening import open_package

        return open_package(path)
    kind = program_kind(path)
    if kind is None:
        return None
    from napari_unet.model.programs import open_program

    return open_program(path, kind)


def program_kind(path: Path) -> Kind | None:
    """Recognize a plain TorchScript or ONNX file by its content; None for anything else."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return None
        with path.open("rb") as stream:
            start = stream.read(64)
        if start.startswith(b"PK\x03\x04"):
            with zipfile.ZipFile(path) as archive:
                return "torchscript" if is_torchscript(archive.namelist()[:MAX_MEMBERS]) else None
    except ZIP_ERRORS:
        return None  # whoever reads it next says what is wrong
    return "onnx" if is_onnx(start) else None
