"""What is known about one image: the user's labels over a model's prediction."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_unet.errors import UserError
from napari_unet.image.boxes import Box, clip, extent, inside, union
from napari_unet.learning.boxes import window_of
from napari_unet.learning.cells import REGION_CELL
from napari_unet.learning.cuts import ONE_SIDE, OTHER_SIDE, crossed, two_sides
from napari_unet.learning.dividing import divided_by_depth, divided_from_line
from napari_unet.learning.edits import Edit, Place
from napari_unet.learning.ledger import Ledger
from napari_unet.learning.masks import Mask

__all__ = ["REGION_CELL", "Point", "Truth"]

Point = tuple[int, int, int]


class Truth(Ledger):
    """A ledger that the user writes: strokes, accept, delete, join and split, each one step of the history.

    See `Ledger` for the arrays, the parameters and what predictions do to them.
    """

    def record_edit(self, t: int, box: Sequence[slice], swept: Mask | None = None) -> Edit | None:
        """Take over what was painted into `labels` inside a box.

        Parameters
        ----------
        t : int
            Time point.
        box : sequence of slice
            A box that holds everything that was painted.
        swept : ndarray of bool, of the box's shape, optional
            Voxels that a tool passed over. They are known even where the value stayed: that is
            how a user confirms.

        Returns
        -------
        Edit or None
            One step of the history; None if nothing was painted or passed over.
        """
        given = tuple(box)
        box = clip(given, self.shape)
        now, shadow = self.labels[t][box], self.shadow[t][box]
        touched = now != shadow
        if swept is not None:
            offset = [slice(a.start - (b.start or 0), a.stop - (b.start or 0)) for a, b in zip(box, given, strict=True)]
            touched |= np.asarray(swept, bool)[tuple(offset)]
        if not touched.any():
            return None
        self.see(int(now.max()))
        # What is left of an object that another one was painted over need not be right: a nucleus in a large blob.
        ids = np.union1d(now[touched], shadow[touched & (now == 0)])
        return self.commit(t, box, touched, ids[ids > 0] if self.instances else ids[:0])

    def paint(self, t: int, box: Sequence[slice], mask: Mask, value: npt.ArrayLike) -> Edit | None:
        """Set labels from a program as a stroke would: `value` where `mask`, which becomes known."""
        box = clip(box, self.shape)
        values = np.broadcast_to(np.asarray(value), mask.shape)
        self.check(values[mask])
        np.copyto(self.labels[t][box], values, where=mask, casting="unsafe")
        return self.record_edit(t, box, mask)

    def accept(self, t: int, box: Sequence[slice], mask: Mask | None = None) -> Edit | None:
        """Make a box (or the voxels of `mask` in it) known as it is; objects cut by the box stay open outside."""
        box = clip(box, self.shape)
        touched = np.ones(extent(box), bool) if mask is None else np.asarray(mask, bool)
        if self.known[t][box][touched].all() if mask is not None else self.known[t][box].all():
            return None
        return self.commit(t, box, touched, np.empty(0, int), painted=False)

    def accept_object(self, t: int, point: Point) -> Edit | None:
        """Make the object under a voxel known as it is, with its rim.

        Raises
        ------
        UserError
            If there is no object.
        """
        box, body = self.body(t, point)
        return self.accept(t, box, self.with_rim(body) if self.instances else body)

    def delete_object(self, t: int, point: Point) -> Edit | None:
        """Turn the object under a voxel into known background, its rim included."""
        box, body = self.body(t, point)
        touched = self.with_rim(body) if self.instances else body
        self.labels[t][box][body] = 0
        return self.commit(t, box, touched, np.empty(0, int))

    def join(self, t: int, points: Sequence[Point]) -> Edit | None:
        """Give the objects under several voxels the id of the first.

        Raises
        ------
        UserError
            If one of the voxels holds no object, or all hold the same.
        """
        parts = [self.body(t, point) for point in points]
        ids = [int(self.labels[t][point]) for point in points]
        if len(set(ids)) < 2:
            raise UserError("Joining needs two different objects.", "Point at one object, then at the other.")
        box = parts[0][0]
        for other, _ in parts[1:]:
            box = union(box, other)
        touched = np.zeros(extent(box), bool)
        for part, body in parts:
            self.labels[t][part][body] = ids[0]
            touched[inside(part, box)] |= body
        return self.commit(t, box, touched, np.array(ids[:1] if self.instances else [], int))

    def split(self, t: int, first: Point, second: Point, scale: Sequence[float] = (1, 1, 1)) -> Edit | None:
        """Split an object between two voxels inside it, by a watershed of the depth inside the object.

        Parameters
        ----------
        t : int
            Time point.
        first, second : tuple of int
            (z, y, x) of one voxel in each part; the part of `second` gets a new id.
        scale : sequence of float
            Voxel size (z, y, x), any unit.

        Raises
        ------
        UserError
            If the two voxels do not lie in one object.
        """
        self._need_objects()
        if self.labels[t][first] != self.labels[t][second] or first == second:
            raise UserError("The two points do not lie in one object.", "Point at two places of the object to split.")
        box, body = self.body(t, first)
        markers = np.zeros(body.shape, np.int32)
        for number, point in enumerate((first, second), start=1):
            markers[tuple(p - part.start for p, part in zip(point, box, strict=True))] = number
        return self._divide(t, box, body, divided_by_depth(body, markers, scale))

    def split_along(
        self,
        t: int,
        path: npt.ArrayLike,
        direction: Sequence[float] = (1, 0, 0),
        scale: Sequence[float] = (1, 1, 1),
        point: Point | None = None,
    ) -> Edit | None:
        """Split an object along a drawn line, by a watershed inside it from the two sides of the line.

        The larger part keeps the id.

        Parameters
        ----------
        t : int
            Time point.
        path : array-like of (z, y, x)
            Corners of the line, in voxels.
        direction : sequence of float
            (z, y, x) along which the user looked, in voxels: the cut goes through the depth of the object.
        scale : sequence of float
            Voxel size (z, y, x), any unit.
        point : tuple of int, optional
            A voxel of the object to split; by default the object that most of the line runs over.

        Raises
        ------
        UserError
            If the line is too short, meets no object or does not divide it.
        """
        self._need_objects()
        corners = np.asarray(path, float)
        if len(corners) < 2 or np.ptp(corners, axis=0).max() < 0.5:
            raise UserError("The line is too short to split anything.", "Draw it across the object.")
        if point is None:
            point = crossed(self.labels[t], corners)
        if point is None:
            raise UserError("The line meets no object.", "Draw it across the object to split.")
        box, body = self.body(t, point)
        markers = two_sides(body, [part.start for part in box], corners, direction, scale)
        if len(np.unique(markers[markers > 0])) < 2:
            raise UserError("The line does not divide the object.", "Draw it from one side of the object to the other.")
        parts = divided_from_line(body, markers)
        if np.count_nonzero(parts == OTHER_SIDE) > np.count_nonzero(parts == ONE_SIDE):
            parts = np.where(parts == ONE_SIDE, OTHER_SIDE, ONE_SIDE)  # the larger part keeps the id
        return self._divide(t, box, body, parts)

    def _divide(self, t: int, box: Box, body: Mask, parts: npt.NDArray[np.int32]) -> Edit:
        """Give the second part of an object a new id; what belongs to no part keeps the old one."""
        old, new = int(self.labels[t][box][body][0]), self.next_id()
        self.labels[t][box][body & (parts == OTHER_SIDE)] = new
        return self.commit(t, box, body, np.array([old, new]))

    def _need_objects(self) -> None:
        if not self.instances:
            raise UserError(
                "The labels are classes, so there are no objects to split.", "Paint the class that belongs there."
            )

    def n_open(self, t: int, box: Sequence[slice], mask: Mask | None = None) -> int:
        """Return the number of different labels but 0 among the unknown voxels of a box (those of `mask` in it)."""
        box = clip(box, self.shape)
        labels, known = self.labels[t][box], self.known[t][box]
        if mask is not None:
            known = known | ~mask
        if not labels.size:
            return 0
        # Labels come in runs: to look at where they begin is much less than to look at every voxel.
        begins = np.ones(labels.shape, bool)
        begins[..., 1:] = (labels[..., 1:] != labels[..., :-1]) | (known[..., 1:] != known[..., :-1])
        begins &= ~known
        return int(np.count_nonzero(np.unique(labels[begins])))

    def body(self, t: int, point: Point) -> tuple[Box, Mask]:
        """Return the object under a voxel: a box with room for the rim, and the object's voxels in it.

        For classes the object is the connected area of one class.

        Raises
        ------
        UserError
            If the voxel is background.
        """
        labels = self.labels[t]
        value = labels[point]
        if value == 0:
            raise UserError("There is no object at this place.", "Point at an object, or accept the view instead.")
        z, y, x = (slice(p, p + 1) for p in point)
        box = self.room(window_of(labels, [value], (z, y, x)))
        mask = labels[box] == value
        if not self.instances:
            parts, _ = ndimage.label(mask, np.ones((3, 3, 3)))
            mask = parts == parts[tuple(p - part.start for p, part in zip(point, box, strict=True))]
        return box, mask

    def set_veil(self, veil: Place | None) -> tuple[Place, ...]:
        """Hide the prediction in one box, so that a user labels without help, or show all of it again.

        The prediction itself stays and goes on being written; where the user says something, that is
        shown as everywhere.

        Parameters
        ----------
        veil : (int, Box) or None
            Time point and box; it replaces the veil before.

        Returns
        -------
        tuple of (int, Box)
            Where the labels may differ now.
        """
        places = tuple(place for place in (self.veil, veil) if place is not None)
        self.veil = veil
        for t, box in places:
            self.set_prediction(t, box, self.prediction[t][box])
        return places
