"""A file that only grows: one record per change, and nothing lost but a torn end."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from napari_unet.errors import UserError
from napari_unet.io.atomic import atomic_path
from napari_unet.project.records import Record, decode_all, encode

HEADER = b"napari-unet journal 1\n"


class Journal:
    """An append-only file of records.

    Whoever is killed while a record is written leaves a torn end; reading passes over it, and the next
    writing cuts it off. Records come in groups that hold only as a whole: what follows the last complete
    group is ignored, too.

    Parameters
    ----------
    path : Path
        The file; made when first written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: Any = None
        self._unsynced = False

    def read(self) -> list[Record]:
        """Return the records of all complete groups, in the order in which they were written.

        Raises
        ------
        UserError
            If the file is none of ours, or of a newer version.
        """
        return self._read()[0]

    def append(self, record: Record) -> None:
        """Write a record at the end; `sync` brings it to the disk.

        Raises
        ------
        OSError
            If it cannot be written; the file then ends where it ended before.
        """
        if self._file is None:
            self._file = self._open()
        end = self._file.tell()
        try:
            self._file.write(encode(record))
            self._file.flush()
        except OSError:
            self._file.seek(end)
            self._file.truncate()
            raise
        self._unsynced = True

    def sync(self) -> None:
        """Bring what was written to the disk itself, so that it outlives a power cut."""
        if self._unsynced and self._file is not None:
            os.fsync(self._file.fileno())
            self._unsynced = False

    def rewrite(self, records: Iterable[Record]) -> None:
        """Replace everything by other records, all at once."""
        self.close()
        with atomic_path(self.path, overwrite=True) as temporary, temporary.open("wb") as file:
            file.write(HEADER)
            for record in records:
                file.write(encode(record))

    def close(self) -> None:
        """Sync and let go of the file."""
        if self._file is not None:
            self.sync()
            self._file.close()
            self._file = None

    def _open(self) -> Any:
        """Open for writing behind the last complete group."""
        end = self._read()[1] if self.path.is_file() else 0
        file = self.path.open("r+b" if self.path.is_file() else "w+b")
        file.seek(end)
        file.truncate()
        if not end:
            file.write(HEADER)
        return file

    def _read(self) -> tuple[list[Record], int]:
        """Return the records, and where the last complete group ends; 0 if not even the header is whole."""
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return [], 0
        except OSError as error:
            raise UserError(
                f"The journal {str(self.path)!r} cannot be read: {error.strerror}.", "Check the disk."
            ) from error
        if len(data) < len(HEADER) and HEADER.startswith(data):
            return [], 0
        if not data.startswith(HEADER):
            raise UserError(
                f"{str(self.path)!r} starts with {data[: len(HEADER)]!r}; expected {HEADER!r}.",
                "It was written by a newer version, or is no journal: update napari-unet.",
            )
        whole: list[Record] = []
        group: list[Record] = []
        end = len(HEADER)
        for _, stop, record in decode_all(data, end):
            group.append(record)
            if record.ends:
                whole += group
                group, end = [], stop
        return whole, end
