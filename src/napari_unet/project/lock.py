"""One project is open in one process at a time."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from napari_unet.errors import UserError

_FAR = 1 << 30  # the byte that is locked on Windows, where a locked byte cannot be read


class FolderLock:
    """A lock that the operating system gives up when its process ends, however it ends.

    A process that was killed therefore leaves no lock behind; the file that stays says nothing by
    itself. It holds the id of the process that has, or had, the project open.

    Parameters
    ----------
    path : Path
        The file of the lock.

    Raises
    ------
    UserError
        If another process, or another session of this one, has the project open.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: Any = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+")
        try:
            _take(self._file)
        except OSError as error:
            holder = self._file.read(20).strip() or "another process"
            self._file.close()
            raise UserError(
                f"The project '{path.parent.name}' is open elsewhere (process {holder}).",
                "Close it there first, or open another project.",
            ) from error
        self._file.seek(0)
        self._file.truncate()
        self._file.write(str(os.getpid()))
        self._file.flush()

    def release(self) -> None:
        """Let others open the project."""
        if not self._file.closed:
            self._file.close()


def is_locked(path: Path) -> bool:
    """Tell whether somebody holds the lock of this file now."""
    if not path.is_file():
        return False
    try:
        FolderLock(path).release()
    except UserError:
        return True
    return False


def _take(file: Any) -> None:
    """Lock an open file, or raise OSError."""
    if sys.platform == "win32":
        import msvcrt

        file.seek(_FAR)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        file.seek(0)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
