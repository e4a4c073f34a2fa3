"""Ids of a prediction that comes block by block: those of what is on screen, and one for each object in z."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from napari_unet.learning.identity import inherit_ids
from napari_unet.learning.truth import Truth
from napari_unet.session.tasks import LabelBlock


class Inheriting:
    """Gives the objects of one segmentation their ids.

    Each block's objects inherit the ids of what they replace (`inherit_ids`). An object that comes in several
    blocks, as planes that are joined do, keeps the id of the first, and no other object of its time point gets
    that id from what was on screen; only what the user said stands above that.

    Parameters
    ----------
    truth : Truth
        What is on screen and known.
    """

    def __init__(self, truth: Truth) -> None:
        self._truth = truth
        self._given: dict[int, int] = {}  # object of the segmentation → id
        self._owner: dict[tuple[int, int], int] = {}  # time point, id → object

    def table(self, block: LabelBlock) -> npt.NDArray[np.uint32]:
        """Return the lookup table for a block: ``table[block.labels]`` are the labels to write."""
        table = inherit_ids(block.labels, self._truth, block.t, block.box)
        if not block.provisional:
            self._keep(block, table)
        return table.astype(np.uint32)

    def _keep(self, block: LabelBlock, table: npt.NDArray[np.int64]) -> None:
        place = (block.t, *block.box)
        said = set(np.unique(self._truth.labels[place][self._truth.known[place]]).tolist())
        for one in np.flatnonzero(np.bincount(block.labels.ravel(), minlength=table.size)).tolist():
            if one == 0:
                continue
            if one in self._given:
                table[one] = self._given[one]
                continue
            wanted = int(table[one])
            if self._owner.get((block.t, wanted), one) != one and wanted not in said:
                wanted = self._truth.next_id(1)
            table[one] = self._given[one] = wanted
            self._owner.setdefault((block.t, wanted), one)
