"""The score of a region before it was corrected: what the model gave where the user had not been yet."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_unet.image.boxes import Box, as_box, extent, grow, inside, overlap, union
from napari_unet.learning.boxes import tight
from napari_unet.learning.edits import Edit
from napari_unet.learning.truth import Truth
from napari_unet.model.header import CheckpointHeader

NEAR = (1, 64, 64)  # (z, y, x) voxels: what is corrected closer than this belongs to one region
LARGEST = (16, 256, 256)  # a region grows up to this
WINDOW = (16, 1024, 1024)  # of one larger click, such as an accepted slice, the middle
FEWEST_VOXELS = 32

Labels = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class CorrectedRegion:
    """A region that the user corrected, and how the model did there before.

    Parameters
    ----------
    minutes : float
        The user's active minutes when it was done.
    image_id : str
        Which image.
    t : int
        Time point.
    box : Box
        Where, (z, y, x).
    score : float
        Agreement of the prediction before with the user's labels after, on the voxels that became known, 0 to 1.
    n_voxels : int
        How many these are.
    weights_hash, model : str
        Which model made the prediction, and its name.
    accepted : bool
        The user only accepted what was predicted: that flatters the model, and is not averaged with the others.
    """

    minutes: float
    image_id: str
    t: int
    box: Box
    score: float
    n_voxels: int
    weights_hash: str
    model: str
    accepted: bool


@dataclass(frozen=True, eq=False)
class ClosedRegion:
    """A region that was left and has no score yet: all arrays (Z, Y, X), of the box's shape."""

    image_id: str
    t: int
    box: Box
    model: CheckpointHeader
    before: Labels
    after: Labels
    mask: Mask
    accepted: bool

    @property
    def n_voxels(self) -> int:
        """Voxels that became known."""
        return int(np.count_nonzero(self.mask))

    def without(self, mask: Mask) -> ClosedRegion:
        """Return the region without some voxels."""
        return replace(self, mask=self.mask & ~mask)

    def scored(self, score: float, minutes: float) -> CorrectedRegion:
        """Return the record of the region."""
        return CorrectedRegion(
            minutes,
            self.image_id,
            self.t,
            self.box,
            score,
            self.n_voxels,
            self.model.weights_hash,
            self.model.name,
            self.accepted,
        )


class OpenRegion:
    """The region that the user is correcting now, with the prediction as it was when each part was first touched.

    A prediction that comes in meanwhile has learned from the first strokes; it does not replace what was there.

    Parameters
    ----------
    image_id : str
        Which image.
    truth : Truth
        Its labels.
    model : CheckpointHeader
        Which model made the prediction.
    edit : Edit
        The first change.
    accepting : bool
        Whether it accepts what is there.
    """

    def __init__(self, image_id: str, truth: Truth, model: CheckpointHeader, edit: Edit, accepting: bool) -> None:
        self.image_id, self.truth, self.model, self.t = image_id, truth, model, edit.t
        self.box = middle(edit.box, WINDOW)
        self._before = truth.prediction[self.t][self.box].copy()
        self._fresh = np.zeros(extent(self.box), bool)
        self._accepted = True
        self.add(edit, accepting)

    def takes(self, image_id: str, truth: Truth, edit: Edit) -> bool:
        """Whether a change belongs to this region: near to it, and the region not too large."""
        if (image_id, edit.t) != (self.image_id, self.t) or truth is not self.truth:
            return False
        box = middle(edit.box, WINDOW)
        if overlap(grow(self.box, NEAR, truth.shape), box) is None:
            return False
        limits = np.maximum(LARGEST, extent(self.box))
        return bool((np.array(extent(union(self.box, box))) <= limits).all())

    def add(self, edit: Edit, accepting: bool) -> None:
        """Take in a change that has just been made."""
        part = middle(edit.box, WINDOW)
        self._grow(union(self.box, part))
        local = inside(part, edit.box)
        self._fresh[inside(part, self.box)] |= edit.after.known[local] & ~edit.before.known[local]
        self._accepted &= accepting

    def close(self) -> ClosedRegion | None:
        """Return what became known here and still is; None if that is too little."""
        # What was undone meanwhile is not known any more.
        mask = self._fresh & self.truth.known[self.t][self.box]
        box = tight(mask, self.box)
        if box is None or int(mask.sum()) < FEWEST_VOXELS:
            return None
        # Objects are matched whole: those at the edge need some room.
        box = overlap(grow(box, NEAR, self.truth.shape), self.box) or box
        local = inside(box, self.box)
        before, after = self._before[local].copy(), self.truth.labels[self.t][box].copy()
        return ClosedRegion(self.image_id, self.t, box, self.model, before, after, mask[local].copy(), self._accepted)

    def _grow(self, box: Box) -> None:
        if box == self.box:
            return
        before = self.truth.prediction[self.t][box].copy()
        fresh = np.zeros(extent(box), bool)
        old = inside(self.box, box)
        before[old], fresh[old] = self._before, self._fresh
        self.box, self._before, self._fresh = box, before, fresh


def middle(box: Box, size: tuple[int, int, int]) -> Box:
    """Return the middle of a box, at most `size` (z, y, x) voxels of it."""
    start = [p.start + max(0, (p.stop - p.start - n) // 2) for p, n in zip(box, size, strict=True)]
    stop = [min(low + n, p.stop) for low, p, n in zip(start, box, size, strict=True)]
    return as_box(start, stop)
