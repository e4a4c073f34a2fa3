"""The arrays behind a truth and their bookkeeping: what every step reads and writes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_unet.errors import OutputError, UserError
from napari_unet.image.boxes import Box, clip, grow, inside, overlap, whole
from napari_unet.learning.boxes import tight, window_of
from napari_unet.learning.cells import REGION_CELL, no_cells, none_known, recount
from napari_unet.learning.counting import IdCounter
from napari_unet.learning.edits import Edit, Place, PredictionEdit, State
from napari_unet.learning.masks import Mask, dilated, members

Written = Literal["known", "prediction", "classes"]


class Ledger:
    """Labels, prediction and known mask of one image, all (T, Z, Y, X).

    Always ``labels == where(known, the user's value, prediction)``: predictions change only what is
    unknown, and what the user said stays. For instances the object is the unit: painting or erasing
    some of an object makes its body and a thin rim around it known.

    ::

        prediction   . 1 1 1 . .        known   . x x x x .
        labels       . 1 1 2 . .                  └ object 2 and its rim

    Parameters
    ----------
    labels : ndarray of unsigned int, (T, Z, Y, X)
        The labels on screen. Kept, not copied: a viewer may paint into the same memory.
    instances : bool
        Whether a label value is an object (True) or a class (False).
    prediction : ndarray, optional
        The model's labels; a copy of `labels` when omitted.
    known, changed : ndarray of bool, optional
        What is known, and which known voxels the user set to something else than was predicted.
    rim, rim_z : int
        Width in voxels, in-plane and along z, of what becomes known around a touched object. Along z
        only where the model is 3D: objects of a 2D model say nothing about the planes beside them.
    empty : bool
        The labels are fresh zeros and nothing is known; nothing is read or copied.
    ids : IdCounter, optional
        Gives the ids of new objects; shared by the truths of parts of one image.

    Attributes
    ----------
    labels, prediction, known, changed : ndarray
        As above. Only the methods write them; `labels` may be painted from outside and is then
        taken over by `Truth.record_edit`.
    shadow : ndarray
        The labels as they were after the last step; what differs from it was painted since.
    veil : (int, Box) or None
        Where the prediction is not shown; see `Truth.set_veil`.
    watch : callable
        Called with (what, t, box) after each write; set by what keeps the truth on disk.
    """

    def __init__(
        self,
        labels: npt.NDArray[Any],
        *,
        instances: bool,
        prediction: npt.NDArray[Any] | None = None,
        known: Mask | None = None,
        changed: Mask | None = None,
        rim: int = 2,
        rim_z: int = 0,
        empty: bool = False,
        ids: IdCounter | None = None,
    ) -> None:
        if labels.ndim != 4:
            raise UserError(f"Labels have {labels.ndim} dimensions, expected 4 (T, Z, Y, X).")
        self.labels = labels
        self.veil: Place | None = None
        self.instances = instances
        self.rim, self.rim_z = rim, rim_z
        self.watch: Callable[[Written, int, Box], None] = lambda what, t, box: None
        self.known = np.zeros(labels.shape, bool) if known is None else known.astype(bool)
        self.changed = np.zeros(labels.shape, bool) if changed is None else changed.astype(bool)
        if empty:
            # The memory of fresh zeros is not touched before it is written: a window must not wait for it.
            self.prediction, self.shadow = np.zeros(labels.shape, labels.dtype), np.zeros(labels.shape, labels.dtype)
        else:
            self.prediction = labels.copy() if prediction is None else prediction.astype(labels.dtype)
            np.copyto(labels, self.prediction, where=~self.known)
            self.shadow = labels.copy()
        # Ids for a prediction are given off the main thread, while the user may be splitting an object.
        self.ids = ids or IdCounter()
        self.ids.see(0 if empty else int(max(labels.max(initial=0), self.prediction.max(initial=0))))
        self._cells = no_cells(labels.shape)
        for t in range(0 if empty else labels.shape[0]):
            self._recount(t, whole(labels.shape[1:]))

    # ---- what there is -------------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, int, int]:
        """Size of one time point, (Z, Y, X)."""
        _, z, y, x = self.labels.shape
        return z, y, x

    @property
    def n_known(self) -> int:
        """Number of known voxels."""
        return int(self._cells.sum())

    @property
    def n_regions(self) -> int:
        """Number of known regions; what lies within about 32 px in-plane belongs to one region."""
        structure = np.zeros((3,) * 4, bool)
        structure[1] = True
        return int(ndimage.label(self._cells > 0, structure)[1])

    def known_box(self, t: int) -> Box | None:
        """Return a box around everything known at `t`, or None; found without reading the mask."""
        box = tight(self._cells[t] > 0, whole(self._cells.shape[1:]))
        if box is None:
            return None
        z, y, x = box
        cell = REGION_CELL
        return clip((z, slice(y.start * cell, y.stop * cell), slice(x.start * cell, x.stop * cell)), self.shape)

    def next_id(self, count: int = 1) -> int:
        """Reserve `count` object ids that were never used, and return the first."""
        first = self.ids.take(count)
        self.see(first + count - 1)
        return first

    # ---- the model -----------------------------------------------------------------------------

    def write_prediction(self, t: int, box: Sequence[slice], values: npt.NDArray[Any]) -> PredictionEdit:
        """Write a prediction into a box; the labels change only where nothing is known.

        Parameters
        ----------
        t : int
            Time point.
        box : sequence of slice
            Where.
        values : ndarray of int, of the box's shape
            Classes, or ids that come from `napari_unet.learning.identity.inherit_ids`.

        Returns
        -------
        PredictionEdit
            One step of the history.

        Raises
        ------
        OutputError
            If a value does not fit the labels' type.
        """
        box = clip(box, self.shape)
        self.check(values)
        self.see(int(values.max(initial=0)))
        before = self.prediction[t][box].copy()
        after = values.astype(self.labels.dtype)
        self.set_prediction(t, box, after)
        return PredictionEdit(t, box, before, after)

    def set_prediction(self, t: int, box: Box, values: npt.NDArray[Any]) -> None:
        """Replace the prediction in a box, outside the history (the steps themselves use this)."""
        self.prediction[t][box] = values
        shown = self.shown_prediction(t, box)
        if none_known(self._cells[t], box):
            # Most of a large image: to look at its mask would take longer than to write it.
            self.labels[t][box] = shown
            self.shadow[t][box] = shown
        else:
            unknown = ~self.known[t][box]
            np.copyto(self.labels[t][box], shown, where=unknown)
            np.copyto(self.shadow[t][box], shown, where=unknown)
        self.watch("prediction", t, box)

    def shown_prediction(self, t: int, box: Box) -> npt.NDArray[Any]:
        """Return what the labels in a box are where nothing is known: the prediction, or 0 under the veil."""
        values: npt.NDArray[Any] = self.prediction[t][box]
        common = overlap(self.veil[1], box) if self.veil is not None and self.veil[0] == t else None
        if common is None:
            return values
        values = values.copy()
        values[inside(common, box)] = 0
        return values

    def relabel(self, table: Mapping[int, int]) -> None:
        """Give classes new indices; what was known as a class that is not in `table` becomes unknown.

        Steps made before cannot be taken back afterwards: they speak of the old indices.

        Parameters
        ----------
        table : mapping of int to int
            Old class index to new one.
        """
        lookup = np.zeros(int(max(self.labels.max(initial=0), self.prediction.max(initial=0))) + 1, self.labels.dtype)
        kept = np.zeros(lookup.size, bool)
        for old, new in table.items():
            if old < lookup.size:
                lookup[old], kept[old] = new, True
        for t in range(self.labels.shape[0]):
            self.known[t] &= kept[self.labels[t]]
            self.changed[t] &= self.known[t]
            self.prediction[t] = lookup[self.prediction[t]]
            shown = self.shown_prediction(t, whole(self.shape))
            self.labels[t] = np.where(self.known[t], lookup[self.labels[t]], shown)
            self.shadow[t] = self.labels[t]
            self._recount(t, whole(self.shape))
            self.watch("classes", t, whole(self.shape))

    def restore(self, t: int, box: Box, state: State) -> None:
        """Replace what is known in a box, over the current prediction (the steps themselves use this)."""
        self.known[t][box] = state.known
        self.changed[t][box] = state.changed
        everything = bool(state.known.all())
        now = state.labels if everything else np.where(state.known, state.labels, self.shown_prediction(t, box))
        self.labels[t][box] = now
        self.shadow[t][box] = now
        self._recount(t, box)
        self.watch("known", t, box)

    @property
    def last_id(self) -> int:
        """The largest object id ever given or seen; the next one is larger."""
        return self.ids.last

    # ---- inside --------------------------------------------------------------------------------

    def commit(self, t: int, box: Box, touched: Mask, ids: npt.NDArray[Any], painted: bool = True) -> Edit:
        """Make `touched` voxels and whole objects `ids` known, and return the step.

        With `painted` False the labels are as the last step left them, and are not compared.
        """
        if ids.size:
            wide = self.room(window_of(self.labels[t], ids, box))
            grown = self.with_rim(members(self.labels[t][wide], ids))
            grown[inside(box, wide)] |= touched
            box = tight(grown, wide) or wide
            touched = grown[inside(box, wide)]
        before = State(self.shadow[t][box].copy(), self.known[t][box].copy(), self.changed[t][box].copy())
        now = self.labels[t][box]
        known = before.known | touched
        changed = before.changed
        # What differs from the prediction was changed by hand; a stroke over the same value confirms it.
        # Where nothing is known and nothing was painted, nothing differs.
        if painted or before.known.any():
            changed = (before.changed & ~touched) | (touched & (now != self.prediction[t][box]))
            self.changed[t][box] = changed
        self.known[t][box] = known
        same = not painted or np.array_equal(now, before.labels)
        after = State(before.labels if same else now.copy(), known, changed)
        if not same:
            self.shadow[t][box] = after.labels
        self._recount(t, box)
        self.watch("known", t, box)
        return Edit(t, box, before, after)

    def room(self, box: Box) -> Box:
        """Return a box with room for the rim."""
        return grow(box, (self.rim_z, self.rim, self.rim), self.shape)

    def with_rim(self, body: Mask) -> Mask:
        """Return a body and the voxels around it."""
        return dilated(dilated(body, self.rim_z, (0,)), self.rim, (1, 2))

    def check(self, values: npt.NDArray[Any]) -> None:
        """Refuse values that the labels' type cannot hold."""
        largest = int(values.max(initial=0))
        if largest > np.iinfo(self.labels.dtype).max:
            raise OutputError(
                f"Label {largest} does not fit the labels' type {self.labels.dtype}.",
                "Use a Labels layer of type uint32.",
            )

    def see(self, value: int) -> None:
        """Remember that an id is taken."""
        if value > np.iinfo(self.labels.dtype).max:
            raise OutputError(
                f"No object id is left in labels of type {self.labels.dtype}.", "Use a Labels layer of type uint32."
            )
        self.ids.see(value)

    def _recount(self, t: int, box: Box) -> None:
        """Count the known voxels again in every cell that the box meets."""
        recount(self.known[t], self._cells[t], box)
