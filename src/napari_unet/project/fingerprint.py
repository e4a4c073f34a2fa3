"""What tells whether a file is still the one that was worked on."""

from __future__ import annotations

import hashlib
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from napari_unet.errors import ImageError

SMALL = 16 * 2**20  # bytes; larger files are sampled
CHUNKS, CHUNK = 16, 64 * 2**10

Verdict = Literal["same", "touched", "changed"]


@dataclass(frozen=True)
class Fingerprint:
    """A file's content in a few bytes.

    Parameters
    ----------
    size : int
        Bytes; of a folder (OME-Zarr) those of its metadata and the number of its files.
    time : int
        When it was changed last, nanoseconds.
    sha256 : str
        Of the whole file if `whole`, else of 16 chunks of 64 kB, spread evenly from the first to the last byte.
    whole : bool
        Every byte was read.
    """

    size: int
    time: int
    sha256: str
    whole: bool

    @classmethod
    def of(cls, path: str | Path) -> Fingerprint:
        """Take the fingerprint of a file or of the folder of an OME-Zarr.

        Raises
        ------
        ImageError
            If it cannot be read.
        """
        path = Path(path)
        try:
            return _of_folder(path) if path.is_dir() else _of_file(path)
        except OSError as error:
            raise ImageError(
                f"The image {str(path)!r} cannot be read: {error.strerror}.", "Bring it back, or point to it anew."
            ) from error

    def compare(self, now: Fingerprint) -> Verdict:
        """Tell whether a file that had this fingerprint is the same now.

        ``touched``: what was sampled is the same, but it was written since, and not all of it was sampled.
        """
        if (self.size, self.sha256, self.whole) != (now.size, now.sha256, now.whole):
            return "changed"
        return "same" if self.whole or self.time == now.time else "touched"

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Fingerprint:
        """Return it from JSON values."""
        return cls(int(values["size"]), int(values["time"]), str(values["sha256"]), bool(values["whole"]))


def _of_file(path: Path) -> Fingerprint:
    status = path.stat()
    whole = status.st_size <= SMALL
    digest = hashlib.sha256()
    with path.open("rb") as file:
        if whole:
            digest.update(file.read())
        else:
            for n in range(CHUNKS):
                file.seek(n * (status.st_size - CHUNK) // (CHUNKS - 1))
                digest.update(file.read(CHUNK))
    return Fingerprint(status.st_size, status.st_mtime_ns, digest.hexdigest(), whole)


def _of_folder(path: Path) -> Fingerprint:
    """Read the metadata, list the pieces: names and sizes of up to ten thousand files."""
    digest, size, time, count = hashlib.sha256(), 0, 0, 0
    for folder, folders, names in os.walk(path):
        folders.sort()
        for name in sorted(names):
            file = Path(folder) / name
            status = file.stat()
            digest.update(f"{file.relative_to(path).as_posix()} {status.st_size}\n".encode())
            if name in ("zarr.json", ".zarray", ".zattrs", ".zgroup") and status.st_size <= SMALL:
                digest.update(file.read_bytes())
            size, time, count = size + status.st_size, max(time, status.st_mtime_ns), count + 1
            if count >= 10_000:
                return Fingerprint(size, time, digest.hexdigest(), False)
    return Fingerprint(size, time, digest.hexdigest(), False)
