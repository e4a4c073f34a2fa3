"""The way of a prediction into the labels: block by block, all of them one step of the history."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from napari_unet.image.boxes import Box, inside, overlap, volume
from napari_unet.learning.edits import PredictionEdit, combine
from napari_unet.session.core import SessionCore
from napari_unet.session.inheriting import Inheriting
from napari_unet.session.state import LabelState, Origin
from napari_unet.session.steps import LabelStep, PredictionStep
from napari_unet.session.tasks import CHUNK, LabelBlock


class Writer(Protocol):
    """Takes the labels of one segmentation while they come."""

    @property
    def scores(self) -> str:
        """File of scores that what is there now came from; empty if there is none."""
        ...

    @property
    def stopped(self) -> str:
        """What is said when the segmentation was stopped."""
        ...

    def prepare(self, report: object) -> Iterator[object]:
        """Turn what a job reports into what `take` gets; runs off the main thread."""
        ...

    def take(self, report: Any) -> None:
        """Take one such piece, on the main thread."""
        ...

    def finish(self, origin: Origin, then: Callable[[LabelStep | None], None] = lambda step: None) -> None:
        """Note where the labels came from, and hand on the step of the history if there is one."""
        ...

    def take_back(self) -> None:
        """End after a failure."""
        ...


class PredictionWriter:
    """Writes the blocks of one segmentation into the labels; all of them are one step of the history.

    Parameters
    ----------
    session : SessionCore
        Whose labels and history.
    image_id : str
        Which image.
    labels : LabelState
        Its labels.
    title : str
        Title of the step.
    """

    def __init__(self, session: SessionCore, image_id: str, labels: LabelState, title: str) -> None:
        self._session, self._image_id, self._labels, self._title = session, image_id, labels, title
        self._edits: list[PredictionEdit] = []
        self._provisional: list[_Provisional] = []
        self._ids = Inheriting(labels.truth)

    @property
    def scores(self) -> str:
        """File of scores that the labels on screen came from."""
        return self._labels.origin.scores

    @property
    def stopped(self) -> str:
        """What is said when the segmentation was stopped."""
        return "Stopped; the finished tiles stay. Undo takes them back."

    def prepare(self, report: object) -> Iterator[object]:
        """Give objects their ids and cut the block into chunks; runs off the main thread."""
        if not isinstance(report, LabelBlock):
            yield report
            return
        table = None
        if self._labels.truth.instances:
            table = self._ids.table(report)
        for chunk, part in chunks(report.box):
            values = report.labels[part]
            yield replace(report, box=chunk, labels=values if table is None else np.take(table, values))

    def take(self, block: LabelBlock) -> None:
        """Write a chunk, unless a stroke is under way: then it waits."""
        self._session.when_not_stroking(self._labels, lambda: self._write(block))

    def _write(self, block: LabelBlock) -> None:
        edit = self._labels.truth.write_prediction(block.t, block.box, block.labels)
        if block.provisional:
            self._provisional.append(_Provisional(edit, volume(block.box)))
        else:
            # One write remains to be undone: what a tile showed for a while is nobody's past.
            for tile in self._provisional:
                tile.hand_over(edit)
            self._provisional = [tile for tile in self._provisional if tile.left]
            self._edits.append(edit)
        self._session.tell_places(self._image_id, self._labels, ((block.t, block.box),))

    def finish(self, origin: Origin, then: Callable[[LabelStep | None], None] = lambda step: None) -> None:
        """Put what was written, and where it came from, into the history as one step and hand that on."""

        def add() -> None:
            edits = self._all()
            if not edits or self._image_id not in self._session.images:
                then(None)
                return
            before, self._labels.origin = self._labels.origin, origin
            step = PredictionStep(
                self._title, self._session, self._image_id, self._labels, combine(edits), before, origin
            )
            self._session.history.add(step)
            self._session.events.history_changed.emit()
            then(step)

        self._session.when_not_stroking(self._labels, add)

    def take_back(self) -> None:
        """Bring back what was there before: nothing half-done stays on screen."""

        def undo() -> None:
            places = combine(self._all()).undo(self._labels.truth)
            self._session.tell_places(self._image_id, self._labels, places)

        self._session.when_not_stroking(self._labels, undo)

    def _all(self) -> list[PredictionEdit]:
        return [*(tile.edit for tile in self._provisional), *self._edits]


@dataclass
class _Provisional:
    """What a tile showed before its frame was decoded, and how many of its voxels no final write has replaced."""

    edit: PredictionEdit
    left: int

    def hand_over(self, final: PredictionEdit) -> None:
        """Give a final write what was there before the tile, where the two overlap."""
        common = overlap(self.edit.box, final.box) if self.edit.t == final.t else None
        if common is not None:
            final.before[inside(common, final.box)] = self.edit.before[inside(common, self.edit.box)]
            self.left -= volume(common)


def chunks(box: Box) -> Iterator[tuple[Box, Box]]:
    """Yield (chunk, chunk relative to the box), small enough to be written between two frames."""
    z, y, x = box
    for plane in range(z.start, z.stop):
        for row in range(y.start, y.stop, CHUNK):
            for column in range(x.start, x.stop, CHUNK):
                chunk = (
                    slice(plane, plane + 1),
                    slice(row, min(row + CHUNK, y.stop)),
                    slice(column, min(column + CHUNK, x.stop)),
                )
                part = tuple(slice(c.start - b.start, c.stop - b.start) for c, b in zip(chunk, box, strict=True))
                yield chunk, (part[0], part[1], part[2])
