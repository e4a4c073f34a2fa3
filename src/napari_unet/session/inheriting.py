"""Ids of a prediction that comes block by block: those of what is on screen, and one for each object in z."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_unet.image.boxes import Box
from napari_unet.learning.identity import inherit_ids
from napari_unet.learning.truth import Truth
from napari_unet.session.tasks import LabelBlock

Fresh = Callable[[], int]


class OneId:
    """Sees to it that an object of one segmentation has one id in all its blocks, and that no other has it.

    An object keeps the id of the block that brought it first, and no other object of its time point gets that
    id from what was on screen; only what the user said stands above that.
    """

    def __init__(self) -> None:
        self._given: dict[int, int] = {}  # object of the segmentation → id
        self._owner: dict[tuple[int, int], int] = {}  # time point, id → object

    def settle(
        self, t: int, table: npt.NDArray[np.int64], objects: npt.NDArray[Any], said: Collection[int], fresh: Fresh
    ) -> None:
        """Change the ids of a block's objects where they would clash with those of earlier blocks.

        Parameters
        ----------
        t : int
            Time point.
        table : ndarray of int64
            The id that each object of the block would have by itself; 0 for none. Changed in place.
        objects : ndarray of int
            Which of them are in the block, without the background.
        said : collection of int
            The ids that the user gave there.
        fresh : callable
            Returns an id that was never used.
        """
        for one in objects.tolist():
            wanted = int(table[one])
            if wanted == 0 or wanted not in said:
                if one in self._given:
                    wanted = self._given[one]
                elif wanted == 0 or self._owner.get((t, wanted), one) != one:
                    wanted = fresh()
            table[one] = wanted
            self._given.setdefault(one, wanted)
            self._owner.setdefault((t, wanted), one)


class Inheriting:
    """Gives the objects of one segmentation their ids.

    Each block's objects inherit the ids of what they replace (`inherit_ids`). An object that comes in several
    blocks, as planes that are joined do, has one id in them (`OneId`).

    Parameters
    ----------
    truth : Truth
        What is on screen and known.
    """

    def __init__(self, truth: Truth) -> None:
        self._truth = truth
        self._one_id = OneId()

    def table(self, block: LabelBlock) -> npt.NDArray[np.uint32]:
        """Return the lookup table for a block: ``table[block.labels]`` are the labels to write."""
        table = inherit_ids(block.labels, self._truth, block.t, block.box)
        if not block.provisional:
            objects = np.flatnonzero(np.bincount(block.labels.ravel(), minlength=table.size))
            said = said_in(self._truth, block.t, block.box)
            self._one_id.settle(block.t, table, objects[objects > 0], said, lambda: self._truth.next_id(1))
        return table.astype(np.uint32)


def said_in(truth: Truth, t: int, box: Box) -> set[int]:
    """Return the ids that the user gave in a box."""
    place = (t, *box)
    return set(np.unique(truth.labels[place][truth.known[place]]).tolist())
