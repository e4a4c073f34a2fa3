"""Scores on the disk, with a list of the tiles that are finished: what was computed once is not computed again.

::

    scores.npy     small: one file, mapped into memory        scores.zarr/   large: compressed chunks
    scores.tiles   a line that says what the scores come from, then a line for each finished tile

A line is written once the scores of its tile are, so that a process may end at any time. Free of torch.
"""

from __future__ import annotations

import json
import shutil
import zlib
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_unet.errors import OutputError, disk_advice
from napari_unet.image.boxes import Box, Triple, as_box, overlap, volume
from napari_unet.image.source import ImageSource
from napari_unet.inference.labels.mapping import make_mapped

LIMIT_BYTES = 2**30  # larger scores are compressed, in chunks
PLANE_CHUNK = (1, 512, 512)
VOLUME_CHUNK = (32, 128, 128)
_SAMPLES = 8
_SAMPLE_EDGE = 64


class ScoreStore:
    """An array (T, C, Z, Y, X) on the disk that is filled tile by tile.

    Parameters
    ----------
    path : Path
        Ends in ``.npy``; a large array goes to the folder of that name that ends in ``.zarr``.
    shape : sequence of int
        (T, C, Z, Y, X).
    key : mapping or callable
        What the scores come from, as JSON values, or what returns that: it is called when it is needed.
        What is there is gone on with if it has the same key.
    chunk : tuple of int
        (z, y, x) that a large array stores together.
    dtype : dtype
        Of the values.
    limit : int
        Bytes from which the array goes to a Zarr.
    resume : bool
        Go on with what is there.

    Raises
    ------
    OutputError
        If the disk is full or cannot be written.
    """

    def __init__(
        self,
        path: Path,
        shape: Sequence[int],
        key: Mapping[str, Any] | Callable[[], Mapping[str, Any]],
        *,
        chunk: Triple = PLANE_CHUNK,
        dtype: npt.DTypeLike = np.float16,
        limit: int = LIMIT_BYTES,
        resume: bool = True,
    ) -> None:
        self.shape = tuple(int(n) for n in shape)
        self._dtype: np.dtype[Any] = np.dtype(dtype)
        self._chunk = chunk
        kinds = (path, path.with_suffix(".zarr"))
        large = prod(self.shape) * self._dtype.itemsize > limit
        there = next((one for one in kinds if one.exists()), None)
        # What is there is gone on with as it is, also where there was more or less memory then.
        self.path = there if resume and there is not None else kinds[large]
        self._journal = path.with_suffix(".tiles")
        self._key = key
        self._started = False  # whether the journal says what the scores come from
        self._finished: dict[int, list[Box]] = {}
        try:
            if not (resume and self._found()):
                self._discard()
                self.path = kinds[large]
                self._make()
            self._array: Any = open_scores(self.path, writable=True)
        except OSError as error:
            raise _refused(self.path, error) from error

    @property
    def array(self) -> Any:
        """The array; read and written by slices."""
        return self._array

    @property
    def finished_voxels(self) -> int:
        """How many voxels were finished before."""
        return sum(map(_covered, self._finished.values()))

    def finished(self, t: int, box: Box) -> bool:
        """Whether the scores of a (z, y, x) box were finished when the array was opened."""
        shared = [common for other in self._finished.get(t, ()) if (common := overlap(box, other)) is not None]
        # Runs with other plans leave boxes that overlap: their volumes alone tell nothing.
        return sum(map(volume, shared)) >= volume(box) and _covered(shared) == volume(box)

    def put(self, t: int, box: Box, scores: npt.NDArray[Any]) -> None:
        """Write the scores (C, z, y, x) of a finished box.

        Raises
        ------
        OutputError
            If the disk is full or fails.
        """
        try:
            self._array[(t, slice(None), *box)] = scores
            if isinstance(self._array, np.memmap):
                self._array = open_scores(self.path, writable=True)  # what is not mapped takes no memory
            with self._journal.open("a", encoding="utf-8") as journal:
                if not self._started:
                    journal.write(self._line() + "\n")
                    self._started = True
                journal.write(json.dumps([t, *((s.start, s.stop) for s in box)]) + "\n")
        except OSError as error:
            raise _refused(self.path, error) from error

    def close(self) -> None:
        """Let go of the array."""
        self._array = None

    def _line(self) -> str:
        key = self._key() if callable(self._key) else self._key
        return json.dumps({**key, "shape": self.shape, "dtype": str(self._dtype)}, sort_keys=True)

    def _found(self) -> bool:
        """Read which tiles are finished; False if there is nothing to go on with."""
        if not self._journal.is_file() or not self.path.exists():
            return False
        first, *rest = self._journal.read_text(encoding="utf-8").split("\n")
        if first != self._line():
            return False
        self._started = True
        for one in rest[:-1]:  # the last line is empty, or was interrupted
            t, *spans = json.loads(one)
            self._finished.setdefault(t, []).append(as_box([a for a, _ in spans], [b for _, b in spans]))
        if rest and rest[-1]:
            self._journal.write_text("\n".join([first, *rest[:-1], ""]), encoding="utf-8")
        return True

    def _make(self) -> None:
        if self.path.suffix == ".npy":
            make_mapped(self.path, self._dtype, self.shape)
            return
        import zarr

        chunks = tuple(min(n, c) for n, c in zip(self.shape[2:], self._chunk, strict=True))
        zarr.create_array(
            str(self.path), shape=self.shape, chunks=(1, self.shape[1], *chunks), dtype=self._dtype, fill_value=0
        )

    def _discard(self) -> None:
        self._journal.unlink(missing_ok=True)
        self.path.with_suffix(".npy").unlink(missing_ok=True)
        shutil.rmtree(self.path.with_suffix(".zarr"), ignore_errors=True)


def chunk_of(step: Triple, flat: bool) -> Triple:
    """Return what to store together so that a tile is written as whole chunks, if these do not become tiny.

    Parameters
    ----------
    step : tuple of int
        (z, y, x) of the tiles, see `TilePlan`.
    flat : bool
        Tiles are planes.

    Examples
    --------
    >>> chunk_of((1, 64, 16384), True), chunk_of((1, 448, 448), True), chunk_of((32, 96, 512), False)
    ((1, 64, 2048), (1, 448, 448), (32, 96, 128))
    """
    usual = PLANE_CHUNK if flat else VOLUME_CHUNK
    chunk = [_part(n, most) for n, most in zip(step, usual, strict=True)]
    # Long tiles of few rows: chunks as long, so that there are not too many.
    chunk[2] = _part(step[2], max(1, min(4 * usual[2], prod(usual) // (chunk[0] * chunk[1]))))
    return (1 if flat else chunk[0], chunk[1], chunk[2])


def _part(length: int, most: int) -> int:
    """Return the largest divisor of a length that is not above `most`; `most` where that is less than half of it."""
    largest = min(length, most)
    # Otherwise a length of few divisors would make millions of files.
    return next((n for n in range(largest, (largest - 1) // 2, -1) if length % n == 0), largest)


def _covered(boxes: Sequence[Box]) -> int:
    """Return the number of voxels in at least one of the boxes."""
    cuts = sorted({edge for z, _, _ in boxes for edge in (z.start, z.stop)})
    begun: dict[int, set[int]] = {cut: set() for cut in cuts}
    ended: dict[int, set[int]] = {cut: set() for cut in cuts}
    for n, (z, _, _) in enumerate(boxes):
        begun[z.start].add(n)
        ended[z.stop].add(n)
    here: set[int] = set()
    voxels = 0
    for first, last in pairwise(cuts):
        here = (here - ended[first]) | begun[first]
        voxels += (last - first) * _area([boxes[n] for n in here])
    return voxels


def _area(boxes: Sequence[Box]) -> int:
    """Return the number of (y, x) places in at least one of the boxes."""
    ys, xs = (np.unique([edge for box in boxes for edge in (box[a].start, box[a].stop)]) for a in (1, 2))
    if not boxes:
        return 0
    mask = np.zeros((len(ys) - 1, len(xs) - 1), np.int64)
    for _, y, x in boxes:
        rows, columns = np.searchsorted(ys, (y.start, y.stop)), np.searchsorted(xs, (x.start, x.stop))
        mask[slice(*rows), slice(*columns)] = 1
    return int(np.diff(ys) @ mask @ np.diff(xs))


def open_scores(path: str | Path, writable: bool = False) -> Any:
    """Open scores that a `ScoreStore` has kept.

    Parameters
    ----------
    path : path
        The path that it was given.
    writable : bool
        Not only to read.

    Returns
    -------
    array-like
        (T, C, Z, Y, X), to be read with one index for all axes.
    """
    folder = Path(path).with_suffix(".zarr")
    if folder.is_dir():
        import zarr

        return zarr.open_array(str(folder), mode="r+" if writable else "r")
    return np.load(path, mmap_mode="r+" if writable else "r")


def are_kept(path: str | Path) -> bool:
    """Whether `open_scores` finds something."""
    return bool(str(path)) and (Path(path).is_file() or Path(path).with_suffix(".zarr").is_dir())


def sample_of(source: ImageSource) -> int:
    """Return a checksum of a few evenly spread places of an image, to notice that it is another one now."""
    times, depth, height, width = source.shape
    checksum = 0
    for n in range(_SAMPLES):
        t, z = n * times // _SAMPLES, n * depth // _SAMPLES
        y = n * max(0, height - _SAMPLE_EDGE) // max(1, _SAMPLES - 1)
        x = (5 * n % _SAMPLES) * max(0, width - _SAMPLE_EDGE) // max(1, _SAMPLES - 1)
        box = as_box((z, y, x), (z + 1, min(y + _SAMPLE_EDGE, height), min(x + _SAMPLE_EDGE, width)))
        checksum = zlib.crc32(np.ascontiguousarray(source.read(t, box)).tobytes(), checksum)
    return checksum


def _refused(path: Path, error: OSError) -> OutputError:
    return OutputError(
        f"The scores cannot be kept in {str(path.parent)!r}: {error.strerror or error}.",
        disk_advice(error, "Free some space, then go on: the tiles that are finished stay."),
    )
