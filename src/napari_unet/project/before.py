"""What a pyramid held before it was written over, until all of it is: then it is forgotten, else brought back."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from threading import Lock
from typing import Any

import numpy.typing as npt

from napari_unet.errors import OutputError, disk_advice
from napari_unet.image.boxes import Box
from napari_unet.project.pyramid import LabelPyramid, pieces
from napari_unet.project.records import Record, decode_all, encode


class Before:
    """Writes boxes into a pyramid that count only together.

    ::

        labels.zarr        new new new old old old      a crash, a stop:  old old old old old old
        labels.before/     1   2   3                    the end:          new new new new new new

    Each box is kept in a file before it is written over, so a process may end at any time. The newest is brought
    back first: where a box was written twice, the first of the two holds what was there.

    Parameters
    ----------
    pyramid : LabelPyramid
        The labels.
    """

    def __init__(self, pyramid: LabelPyramid) -> None:
        self._pyramid = pyramid
        self.folder = folder_of(pyramid.path)
        self._lock = Lock()
        self._over = False
        self._kept = 0

    def write(self, t: int, box: Box, labels: npt.NDArray[Any]) -> None:
        """Keep what a box holds, and write other labels there; nothing once these are forgotten or brought back.

        Raises
        ------
        OutputError
            If the disk is full or fails.
        """
        with self._lock:
            if self._over:
                return
            for piece in pieces(box, self._pyramid.depth):
                self._keep(Record("prediction", t, piece, {"values": self._pyramid.read(t, piece)}))
            self._pyramid.write(t, box, labels)

    def forget(self) -> None:
        """Let what was written count."""
        with self._lock:
            self._over = True
            shutil.rmtree(self.folder, ignore_errors=True)

    def bring_back(self) -> Iterator[tuple[int, Box]]:
        """Write back what was there, the newest first, and yield where.

        Raises
        ------
        OutputError
            If the disk fails; what is left is brought back next time.
        """
        with self._lock:
            self._over = True
            for path in sorted(self.folder.glob("*.record"), reverse=True):
                # A torn file is of a box that was not written over yet.
                for _, _, record in decode_all(path.read_bytes()):
                    self._pyramid.write(record.t, record.box, record.arrays["values"])
                    yield record.t, record.box
                path.unlink()
            shutil.rmtree(self.folder, ignore_errors=True)

    def _keep(self, record: Record) -> None:
        self._kept += 1
        try:
            self.folder.mkdir(exist_ok=True)
            (self.folder / f"{self._kept:09d}.record").write_bytes(encode(record))
        except OSError as error:
            raise OutputError(
                f"The labels before cannot be kept in '{self.folder}': {error.strerror or error}.",
                disk_advice(error, "Free some space; the labels are as they were."),
            ) from error


def folder_of(path: Path) -> Path:
    """Return where the labels of a pyramid are kept while they are written over."""
    return path.with_suffix(".before")
