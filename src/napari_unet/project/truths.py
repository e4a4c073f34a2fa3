"""What the user said and what was predicted in one image, on the disk: two journals and their sum."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_unet.image.boxes import Box, as_box, extent, inside, overlap
from napari_unet.project.journal import Journal
from napari_unet.project.records import Record

TILE = 256  # edge of the pieces in which the sum of a journal is kept
WASTE = 2.0  # a journal is written anew when this many times more was written than its sum holds

Tile = tuple[int, int, int, int]  # time point, plane, row and column of tiles
Piece = tuple[int, Box, dict[str, npt.NDArray[Any]]]  # time point, where, arrays


class Canvas:
    """The sum of many records: pieces of one plane, in memory only where something was written.

    Parameters
    ----------
    shape : tuple of int
        (Z, Y, X) of the image.
    """

    def __init__(self, shape: tuple[int, int, int]) -> None:
        self.shape = shape
        self.tiles: dict[Tile, dict[str, npt.NDArray[Any]]] = {}
        self.meta: dict[str, Any] = {}
        self.written = 0  # voxels

    @property
    def voxels(self) -> int:
        """Number of voxels in the pieces."""
        return sum(next(iter(tile.values())).size for tile in self.tiles.values() if tile)

    def add(self, record: Record) -> None:
        """Write a record over what is there; what reaches out of the image is left out."""
        if record.kind == "clear":
            self.tiles.clear()
        self.meta.update({key: value for key, value in record.meta.items() if key != "end"})
        for tile, box in self._pieces(record.box) if record.arrays else ():
            where = self._box(tile)
            arrays = self.tiles.setdefault((record.t, *tile), {})
            for name, array in record.arrays.items():
                part = array[inside(box, record.box)]
                if box == where:
                    arrays[name] = part  # of the record's memory: a large image is not copied once more
                    continue
                if name not in arrays:
                    arrays[name] = np.zeros(extent(where), array.dtype)
                elif arrays[name].base is not None:
                    arrays[name] = arrays[name].copy()  # which belongs to a record
                arrays[name][inside(box, where)] = part
            self.written += box_volume(box)

    def boxes(self) -> Iterator[Piece]:
        """Yield (time point, box, arrays) of every piece."""
        for (t, *tile), arrays in self.tiles.items():
            yield t, self._box((tile[0], tile[1], tile[2])), arrays

    def records(self, kind: str) -> Iterator[Record]:
        """Yield the sum as one group of records."""
        yield Record("clear", 0, as_box((0, 0, 0), (0, 0, 0)), {}, {**self.meta, "end": not self.tiles})
        for number, (t, where, arrays) in enumerate(self.boxes(), start=1):
            yield Record(kind, t, where, arrays, {"end": number == len(self.tiles)})

    def _box(self, tile: tuple[int, int, int]) -> Box:
        z, row, column = tile
        _, height, width = self.shape
        stop = (z + 1, min((row + 1) * TILE, height), min((column + 1) * TILE, width))
        return as_box((z, row * TILE, column * TILE), stop)

    def _pieces(self, box: Box) -> Iterator[tuple[tuple[int, int, int], Box]]:
        z, y, x = box
        for plane in range(max(z.start, 0), min(z.stop, self.shape[0])):
            for row in range(y.start // TILE, -(-y.stop // TILE)):
                for column in range(x.start // TILE, -(-x.stop // TILE)):
                    tile = (plane, row, column)
                    common = overlap(self._box(tile), box)
                    if common is not None:
                        yield tile, common


def box_volume(box: Box) -> int:
    """Return the number of voxels in a box."""
    z, y, x = extent(box)
    return z * y * x


@dataclass(frozen=True)
class TruthFiles:
    """The two journals of one truth.

    What the user said is small and must never be lost; a prediction is large and can be had again. Each
    therefore has a journal of its own::

        truths/field_07-1/instances.journal         strokes, accepts, undo: each a box as it was after it
        truths/field_07-1/instances.predictions     one group of boxes per segmentation

    Parameters
    ----------
    known, predictions : Journal
    """

    known: Journal
    predictions: Journal

    @classmethod
    def at(cls, folder: Path, name: str) -> TruthFiles:
        """Return the journals of this name; the files are made when first written."""
        return cls(Journal(folder / f"{name}.journal"), Journal(folder / f"{name}.predictions"))

    def read(self, shape: tuple[int, int, int]) -> tuple[Canvas, Canvas]:
        """Return what was known and what was predicted; a wasteful journal is written anew.

        Raises
        ------
        UserError
            If a journal cannot be read.
        """
        known, predicted = summed(self.known.read(), shape), summed(self.predictions.read(), shape)
        for journal, canvas, kind in ((self.known, known, "known"), (self.predictions, predicted, "prediction")):
            if canvas.written > WASTE * max(canvas.voxels, TILE * TILE):
                journal.rewrite(canvas.records(kind))
        return known, predicted

    def sync(self) -> None:
        """Bring both to the disk."""
        self.known.sync()
        self.predictions.sync()

    def close(self) -> None:
        """Let go of both."""
        self.known.close()
        self.predictions.close()


def summed(records: Iterable[Record], shape: tuple[int, int, int]) -> Canvas:
    """Return the sum of records."""
    canvas = Canvas(shape)
    for record in records:
        canvas.add(record)
    return canvas
