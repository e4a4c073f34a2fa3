"""Joining the planes of a stack that are too large to be held, block by block. Free of torch.

::

    blocks of plane z ──► counted against plane z−1 ──► kept on the disk
    plane z complete  ──► its ids are decided       ──► written, block by block

The result is that of `planes.PlaneJoiner` on whole planes, one after the other.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_unet.errors import OutputError
from napari_unet.image.boxes import Box
from napari_unet.inference.labels.mapping import make_mapped
from napari_unet.inference.labels.planes import chosen_pairs, shared_voxels

Labels = npt.NDArray[np.uint32]
Ints = npt.NDArray[np.int64]
Write = Callable[[int, Box, Labels], None]


class StackJoiner:
    """Takes the blocks of one plane after the other and writes them with ids that are joined in z.

    Parameters
    ----------
    write : callable
        Gets (t, (z, y, x) box, labels) of each block, once its plane is complete.
    size : tuple of int
        (Y, X) of a plane.
    folder : Path
        An existing folder for two planes of labels.
    """

    def __init__(self, write: Write, size: tuple[int, int], folder: Path) -> None:
        self._write = write
        # Two planes on the disk: this one, and the one before with its final ids.
        self._file = folder / "planes.npy"
        make_mapped(self._file, np.uint32, (2, *size))
        self._key: tuple[int, int] | None = None
        self._joins = False
        self._boxes: list[Box] = []
        self._shared = _Tally()
        self._areas = _Tally()
        self._before: tuple[Ints, Ints] = (np.zeros(0, np.int64), np.zeros(0, np.int64))  # ids and areas
        self.count = 0  # ids given

    def put(self, t: int, box: Box, labels: Labels) -> None:
        """Take the labels of a block, whose ids are unique within its plane."""
        key = (t, box[0].start)
        if key != self._key:
            self.close()
            self._joins = self._key == (t, box[0].start - 1)
            self._key = key
        here = (slice(None), box[1], box[2])
        planes = self._open()
        now, before = planes[key[1] % 2][here[1:]], planes[(key[1] + 1) % 2][here[1:]]
        now[...] = labels[0]
        self._boxes.append(box)
        self._areas.add(*np.unique(labels[labels > 0], return_counts=True))
        if self._joins:
            pairs, shared = shared_voxels(before, now)
            self._shared.add((pairs[:, 0] << 32) | pairs[:, 1], shared)

    def close(self) -> None:
        """Decide the ids of the plane that is complete, and write it.

        Raises
        ------
        OutputError
            If there are more objects than ids.
        """
        if self._key is None or not self._boxes:
            return
        ids, areas = self._areas.sums()
        final = np.zeros(ids.size, np.int64)
        packed, shared = self._shared.sums()
        pairs = np.stack([packed >> 32, packed & 0xFFFFFFFF], axis=1)
        there, here = np.searchsorted(self._before[0], pairs[:, 0]), np.searchsorted(ids, pairs[:, 1])
        chosen = chosen_pairs(pairs, shared, self._before[1][there], areas[here])
        final[np.searchsorted(ids, chosen[:, 1])] = chosen[:, 0]
        new = np.flatnonzero(final == 0)
        if self.count + new.size > np.iinfo(np.uint32).max:
            raise OutputError(f"There are more than {np.iinfo(np.uint32).max} objects.", "Raise the minimum size.")
        final[new] = self.count + 1 + np.arange(new.size)
        self.count += int(new.size)
        keys, values = np.append(0, ids), np.append(0, final).astype(np.uint32)
        t = self._key[0]
        for box in self._boxes:
            plane = self._open()[self._key[1] % 2]
            labels = values[np.searchsorted(keys, plane[box[1], box[2]])]
            plane[box[1], box[2]] = labels
            self._write(t, box, labels[np.newaxis])
        order = np.argsort(final)
        self._before = final[order], areas[order]
        self._boxes, self._shared, self._areas = [], _Tally(), _Tally()

    def _open(self) -> npt.NDArray[np.uint32]:
        """Return both planes, mapped anew: what was mapped before takes no memory any more."""
        planes: npt.NDArray[np.uint32] = np.load(self._file, mmap_mode="r+")
        return planes


class _Tally:
    """Adds up counts by key, piece by piece."""

    def __init__(self) -> None:
        self._keys: list[Ints] = []
        self._counts: list[Ints] = []

    def add(self, keys: npt.NDArray[np.integer], counts: npt.NDArray[np.integer]) -> None:
        self._keys.append(keys.astype(np.int64))
        self._counts.append(counts.astype(np.int64))

    def sums(self) -> tuple[Ints, Ints]:
        """Return the keys, sorted, and what was counted of each."""
        if not self._keys:
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        keys, inverse = np.unique(np.concatenate(self._keys), return_inverse=True)
        sums = np.zeros(keys.size, np.int64)
        np.add.at(sums, inverse, np.concatenate(self._counts))
        return keys, sums
