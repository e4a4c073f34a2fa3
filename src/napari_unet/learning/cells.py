"""How much is known, counted in cells: what the panel shows, without reading the mask of a large image."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from napari_unet.image.boxes import Box
from napari_unet.learning.masks import Mask

REGION_CELL = 32  # known voxels closer than about this in-plane count as one region
_BITS = np.unpackbits(np.arange(256, dtype=np.uint8)[:, np.newaxis], axis=1).sum(axis=1, dtype=np.uint8)

Cells = npt.NDArray[np.int32]


def no_cells(shape: tuple[int, ...]) -> Cells:
    """Return counts for a (T, Z, Y, X) mask in which nothing is known."""
    return np.zeros((*shape[:2], *(-(-n // REGION_CELL) for n in shape[2:])), np.int32)


def recount(known: Mask, cells: Cells, box: Box) -> None:
    """Count the known voxels again in every cell that a box meets.

    Parameters
    ----------
    known : ndarray of bool, (Z, Y, X)
        What is known.
    cells : ndarray of int32, (Z, rows, columns)
        The counts; changed in place.
    box : Box
        (z, y, x), where something changed.
    """
    z, y, x = box
    cell = REGION_CELL
    rows = np.arange(y.start // cell, -(-y.stop // cell))
    columns = np.arange(x.start // cell, -(-x.stop // cell))
    if rows.size == 0 or columns.size == 0:
        return
    area = known[z, rows[0] * cell : (rows[-1] + 1) * cell, columns[0] * cell : (columns[-1] + 1) * cell]
    # Eight voxels at a time: a view of a whole large image must not hold the window up.
    eights: npt.NDArray[Any] = _BITS[np.packbits(area, axis=-1)]
    sums = np.add.reduceat(eights, (columns - columns[0]) * (cell // 8), axis=2)  # at most 32
    sums = np.add.reduceat(sums, (rows - rows[0]) * cell, axis=1, dtype=np.int32)
    cells[z, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = sums


def none_known(cells: Cells, box: Box) -> bool:
    """Tell whether nothing is known in all of the cells that a box meets; the mask is not read."""
    z, y, x = box
    cell = REGION_CELL
    return not cells[z, y.start // cell : -(-y.stop // cell), x.start // cell : -(-x.stop // cell)].any()
