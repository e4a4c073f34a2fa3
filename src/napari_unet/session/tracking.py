"""Which parts of a truth changed since they were saved, cut into pieces that a window does not notice."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_unet.image.boxes import Box, as_box, clip, extent, volume, whole
from napari_unet.learning.ledger import Written
from napari_unet.learning.truth import Truth
from napari_unet.project.records import Record
from napari_unet.session.state import LabelState, Origin, TruthKey

PIECE = 2**18  # voxels copied at once, at most
TILE = 512  # edge of the pieces in which predictions are saved

_NOWHERE = as_box((0, 0, 0), (0, 0, 0))


class TruthTracker:
    """Notes what changes in one truth, and turns it into records of what is there now.

    ::

        commit, undo, … ── watch ──► pending boxes ── take_known ───────► records, saved at once
        segment, undo, … ─ watch ──► pending tiles ── take_predictions ─► records, once it is complete

    A place that changes twice before it is saved is saved once. Records say what holds after a change,
    so that strokes, undo and redo are all the same.

    Parameters
    ----------
    labels : LabelState
        The labels; from now on the tracker watches their truth.
    image, name : str
        Folder of the image and name of the truth in the project.
    key : tuple of str
        What the label values mean.
    saved : bool
        All of it is on the disk already.
    """

    def __init__(self, labels: LabelState, image: str, name: str, key: TruthKey, *, saved: bool) -> None:
        self.labels, self.image, self.name, self.key = labels, image, name, key
        self._known: dict[tuple[int, tuple[tuple[int, int], ...]], tuple[int, Box]] = {}
        self._tiles: dict[tuple[int, int, int, int], None] = {}
        self._afresh: set[str] = set()  # journals that start anew
        self._so_far: list[tuple[int, Box]] = []
        self._origin = labels.origin
        labels.truth.watch = self._changed
        if not saved:
            self.mark_all()

    @property
    def truth(self) -> Truth:
        """The truth that is watched."""
        return self.labels.truth

    @property
    def has_known(self) -> bool:
        """Whether something that the user said waits to be saved."""
        if self._so_far and not self.labels.stroking:
            # What was saved of a stroke under way may be more than its end made known.
            for t, box in self._so_far:
                self._mark_known(t, box)
            self._so_far.clear()
        return bool(self._known) or "known" in self._afresh

    @property
    def has_predictions(self) -> bool:
        """Whether a prediction waits to be saved."""
        return bool(self._tiles) or "prediction" in self._afresh

    def close(self) -> None:
        """Stop watching."""
        self.truth.watch = lambda what, t, box: None

    def mark_all(self) -> None:
        """Save everything anew, in place of what is on the disk."""
        truth = self.truth
        self._known.clear()
        self._tiles.clear()
        if truth.n_known or "known" in self._afresh:
            self._afresh.add("known")
        for t in range(truth.labels.shape[0]):
            box = truth.known_box(t)
            if box is not None:
                self._mark_known(t, box)
        if self.labels.origin != Origin() or truth.last_id:
            self._afresh.add("prediction")
            for t in range(truth.labels.shape[0]):
                self._mark_tiles(t, whole(truth.shape))

    # ---- what changed --------------------------------------------------------------------------

    def _changed(self, what: Written, t: int, box: Box) -> None:
        if what == "known":
            self._mark_known(t, box)
        elif what == "prediction":
            self._mark_tiles(t, box)
        else:
            self._afresh.update(("known", "prediction"))
            self._mark_known(t, box)
            self._mark_tiles(t, box)

    def _mark_known(self, t: int, box: Box) -> None:
        box = clip(box, self.truth.shape)
        for piece in pieces(box):
            self._known[t, tuple((s.start, s.stop) for s in piece)] = (t, piece)

    def _mark_tiles(self, t: int, box: Box) -> None:
        z, y, x = clip(box, self.truth.shape)
        for plane in range(z.start, z.stop):
            for row in range(y.start // TILE, -(-y.stop // TILE)):
                for column in range(x.start // TILE, -(-x.stop // TILE)):
                    self._tiles[t, plane, row, column] = None

    # ---- records -------------------------------------------------------------------------------

    def take_known(self) -> Iterator[Record]:
        """Yield records of what the user said, until nothing waits; the consumer may stop in between."""
        if "known" in self._afresh:
            self._afresh.discard("known")
            yield Record("clear", 0, _NOWHERE, {}, self._end(not self._known))
        while self._known:
            t, box = self._known.pop(next(iter(self._known)))
            truth = self.truth
            # The labels as they were after the last step: those on screen may be in the middle of a stroke.
            arrays = {
                "labels": truth.shadow[t][box].copy(),
                "known": truth.known[t][box].copy(),
                "changed": truth.changed[t][box].copy(),
            }
            yield Record("known", t, box, arrays, self._end(not self._known))

    def take_predictions(self) -> Iterator[Record]:
        """Yield records of the prediction, until nothing waits; the consumer may stop in between."""
        if "prediction" in self._afresh:
            self._afresh.discard("prediction")
            yield Record("clear", 0, _NOWHERE, {}, self._end(not self._tiles) | self._came_from())
        while self._tiles:
            tile = next(iter(self._tiles))
            del self._tiles[tile]
            t, plane, row, column = tile
            corner = (plane, row * TILE, column * TILE)
            box = clip(as_box(corner, (plane + 1, corner[1] + TILE, corner[2] + TILE)), self.truth.shape)
            values = self.truth.prediction[t][box].copy()
            yield Record("prediction", t, box, {"values": values}, self._end(not self._tiles) | self._came_from())

    def stroke_so_far(self, t: int, box: Box, swept: npt.NDArray[np.bool_] | None) -> Record | None:
        """Return a record of a stroke under way, as if it ended here; None if it left no trace yet."""
        truth = self.truth
        box = clip(box, truth.shape)
        now, shadow = truth.labels[t][box].copy(), truth.shadow[t][box]
        touched = now != shadow
        if swept is not None:
            touched |= swept
        if not touched.any():
            return None
        self._so_far.append((t, box))
        known = truth.known[t][box] | touched
        changed = (truth.changed[t][box] & ~touched) | (touched & (now != truth.prediction[t][box]))
        return Record("known", t, box, {"labels": now, "known": known, "changed": changed}, self._end(True))

    def _end(self, last: bool) -> dict[str, Any]:
        return {"end": last, "last_id": self.truth.last_id}

    def _came_from(self) -> dict[str, Any]:
        return {"origin": origin_to_json(self.labels.origin)}


def origin_to_json(origin: Origin) -> dict[str, Any]:
    """Return what a prediction came from as JSON values; its scores do not outlive the session."""
    return {"model": None if origin.model is None else origin.model.to_dict(), "settings": origin.settings}


def pieces(box: Box) -> Iterator[Box]:
    """Yield boxes of at most `PIECE` voxels that make up a box."""
    if volume(box) <= PIECE:
        if volume(box):
            yield box
        return
    axis = int(np.argmax(extent(box)))
    middle = (box[axis].start + box[axis].stop) // 2
    for part in (slice(box[axis].start, middle), slice(middle, box[axis].stop)):
        ends = list(box)
        ends[axis] = part
        yield from pieces((ends[0], ends[1], ends[2]))
