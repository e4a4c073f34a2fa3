"""Files that are either complete or not there."""

from __future__ import annotations

import errno
import os
import secrets
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from napari_unet.errors import OutputError

PathLike = str | os.PathLike[str]

_REASONS = {
    errno.EACCES: ("the folder cannot be written", "Choose another folder, or ask for the right to write there."),
    errno.EPERM: ("the folder cannot be written", "Choose another folder, or ask for the right to write there."),
    errno.EROFS: ("the disk is read-only", "Choose another folder."),
    errno.ENOSPC: ("the disk is full", "Free space or choose another folder, then try again."),
    errno.EDQUOT: ("the disk quota is used up", "Free space or choose another folder, then try again."),
    errno.EFBIG: ("the file would be larger than the disk allows", "Choose another disk."),
    errno.ENAMETOOLONG: ("the name is too long", "Choose a shorter name."),
    errno.ENOENT: ("the folder does not exist", "Create the folder or choose another."),
    errno.ENOTDIR: ("part of the path is a file, not a folder", "Choose another folder."),
    errno.EIO: ("the disk reports a fault", "Choose another disk and check this one."),
}


@contextmanager
def atomic_path(
    path: PathLike,
    *,
    overwrite: bool = False,
    protected: Sequence[PathLike] = (),
    verify: Callable[[Path], None] | None = None,
) -> Iterator[Path]:
    """Give a temporary file to write into; on success it becomes the wanted file, on any error it goes.

    ::

        folder/.name.3f9c.tif  ─ write ─ fsync ─ verify ─ rename ─►  folder/name.tif

    Parameters
    ----------
    path : str or Path
        The wanted file. Its folder must exist.
    overwrite : bool
        Replace a file of that name.
    protected : sequence of path
        Files that must never be replaced, such as the image that was read.
    verify : callable, optional
        Called with the temporary file after it is on disk; what it raises prevents the rename.

    Yields
    ------
    Path
        The temporary file: empty, in the same folder, with the same suffix.

    Raises
    ------
    OutputError
        If the file cannot be written, with the reason; nothing is left behind then.
    """
    target = check_target(path, overwrite=overwrite, protected=protected)
    temporary = target.with_name(f".{target.stem[:20]}.{secrets.token_hex(4)}{target.suffix}")
    try:
        # 0o666 less the umask: the permissions any other program would have given the file.
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666))
        yield temporary
        _to_disk(temporary)
        if verify is not None:
            verify(temporary)
        if target.exists() and not overwrite:
            raise _exists(target)
        os.replace(temporary, target)
        if os.name == "posix":
            _to_disk(target.parent)
    except OSError as error:
        reason, hint = _REASONS.get(error.errno or 0, (str(error), "Choose another folder or name."))
        raise OutputError(f"The file {str(target)!r} cannot be written: {reason}.", hint) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def check_target(path: PathLike, *, overwrite: bool = False, protected: Sequence[PathLike] = ()) -> Path:
    """Check before any work that a file can be written there.

    Parameters
    ----------
    path, overwrite, protected
        As in `atomic_path`.

    Returns
    -------
    Path
        The absolute target; the file that a symbolic link points to.

    Raises
    ------
    OutputError
        If the target exists, is a folder or a protected file, its name is too long, or its folder is
        missing or read-only.
    """
    target = Path(os.path.realpath(path))
    folder = target.parent
    if not folder.is_dir():
        raise OutputError(f"The folder {str(folder)!r} does not exist.", "Create the folder or choose another.")
    longest = os.pathconf(folder, "PC_NAME_MAX") if hasattr(os, "pathconf") else 255
    if len(os.fsencode(target.name)) > longest:
        raise OutputError(
            f"The name {target.name[:40]!r}… has {len(os.fsencode(target.name))} bytes; expected up to {longest}.",
            "Choose a shorter name.",
        )
    if any(_same(target, other) for other in protected):
        raise OutputError(
            f"The output {str(target)!r} is the input itself.", "Choose another name, so that the image is not lost."
        )
    if target.is_dir():
        raise OutputError(f"The output {str(target)!r} is a folder.", "Add a file name.")
    if target.exists() and not overwrite:
        raise _exists(target)
    if not os.access(folder, os.W_OK):
        raise OutputError(f"The folder {str(folder)!r} cannot be written.", "Choose another folder.")
    return target


def check_writable(folder: PathLike) -> None:
    """Check before long work that a file can be made in a folder, by making one: rights alone do not tell.

    Parameters
    ----------
    folder : str or Path
        It exists.

    Raises
    ------
    OutputError
        If none can be made, with the reason.
    """
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".napari-unet-") as probe:
            probe.write(b"\0")
    except OSError as error:
        reason, hint = _REASONS.get(error.errno or 0, (str(error), "Choose another folder."))
        raise OutputError(f"Nothing can be written to the folder {str(folder)!r}: {reason}.", hint) from error


def _exists(target: Path) -> OutputError:
    return OutputError(f"The file {str(target)!r} already exists.", "Choose another name, or allow overwriting.")


def _same(target: Path, other: PathLike) -> bool:
    if target == Path(os.path.realpath(other)):
        return True
    # Hard links and case-insensitive disks have several names for one file.
    return target.exists() and os.path.exists(other) and os.path.samefile(target, other)


def _to_disk(path: Path) -> None:
    """Flush a file or a folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
