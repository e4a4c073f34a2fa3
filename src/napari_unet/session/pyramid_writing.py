"""The way of a prediction into the labels of a large image: block by block onto the disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_unet.errors import OutputError
from napari_unet.image.boxes import Box, inside, overlap
from napari_unet.learning.counting import IdCounter
from napari_unet.learning.edits import PredictionEdit
from napari_unet.learning.identity import inherit_ids
from napari_unet.project.pyramid import LabelPyramid
from napari_unet.session.core import SessionCore
from napari_unet.session.inheriting import OneId, said_in
from napari_unet.session.predicting import chunks
from napari_unet.session.state import Area, LabelState, Origin
from napari_unet.session.steps import LabelStep, PredictionStep
from napari_unet.session.tasks import LabelBlock
from napari_unet.session.tracking import origin_to_json

STOPPED = "Stopped; the finished tiles stay."


@dataclass(frozen=True)
class WorkedOn:
    """A work area of the image that is segmented, with the labels that it has there."""

    image_id: str
    area: Area
    labels: LabelState


@dataclass(frozen=True)
class Written:
    """A box of the pyramid that was written."""

    t: int
    box: Box


class PyramidWriter:
    """Writes the blocks of one segmentation into a pyramid, and into the work areas that they meet.

    ::

        block ──► ids ──► pyramid on the disk          off the main thread
                   └────► work areas, where unknown    on the main thread; what is known there is written
                                                       over the block again

    Parameters
    ----------
    session : SessionCore
        Whose labels.
    image_id : str
        Which image.
    pyramid : LabelPyramid
        Its labels.
    ids : IdCounter or None
        Gives ids to objects; None for classes.
    areas : callable
        Returns the work areas of an image by its id, on the main thread.
    note : callable
        Gets what the labels came from once all are written.
    ready : callable
        Returns once nothing else writes into the pyramid, such as what brings earlier labels back; called off the
        main thread.
    """

    scores = ""
    stopped = STOPPED

    def __init__(
        self,
        session: SessionCore,
        image_id: str,
        pyramid: LabelPyramid,
        ids: IdCounter | None,
        areas: Callable[[str], Sequence[WorkedOn]],
        note: Callable[[Origin], None],
        ready: Callable[[], None],
    ) -> None:
        self._session, self._image_id, self._pyramid = session, image_id, pyramid
        self._ids, self._areas, self._note_origin = ids, tuple(areas(image_id)), note
        self._areas_now, self._late = areas, dict[str, WorkedOn]()
        self._ready, self._waits = ready, True
        self._one_id = OneId()
        self._forgotten: set[str] = set()  # areas whose earlier predictions are no longer in the history

    def prepare(self, report: object) -> Iterator[object]:
        """Give objects their ids, write the block to the disk, and cut out what the work areas get."""
        if not isinstance(report, LabelBlock):
            yield report
            return
        if self._waits:
            self._waits = False
            self._ready()
        meeting = [
            (one, common)
            for one in self._areas
            if one.area.t == report.t and (common := overlap(one.area.box, report.box)) is not None
        ]
        labels = report.labels
        if self._ids is not None:
            labels = self._numbered(report, meeting, self._ids)
        self._put(report.t, report.box, labels.astype(self._pyramid.dtype, copy=False))
        yield Written(report.t, report.box)
        for one, common in meeting:
            part = labels[inside(common, report.box)]
            for chunk, piece in chunks(inside(common, one.area.box)):
                yield one, replace(report, t=0, box=chunk, labels=part[piece])

    def _put(self, t: int, box: Box, labels: npt.NDArray[Any]) -> None:
        self._pyramid.write(t, box, labels)

    def _numbered(
        self, report: LabelBlock, meeting: Sequence[tuple[WorkedOn, Box]], ids: IdCounter
    ) -> npt.NDArray[Any]:
        """Return the block with ids that mean one object in the whole image.

        What a tile shows before objects are joined is numbered by itself; final blocks of one run share
        their numbers. An object that lies on a known one of a work area takes its id.
        """
        table = np.zeros(int(report.labels.max(initial=0)) + 1, np.int64)
        said: set[int] = set()
        for one, common in meeting:
            part, here = report.labels[inside(common, report.box)], inside(common, one.area.box)
            found = inherit_ids(part, one.labels.truth, 0, here)
            new = np.flatnonzero((found > 0) & (table[: found.size] == 0))
            table[new] = found[new]
            said |= said_in(one.labels.truth, 0, here)
        seen = np.unique(report.labels)
        seen = seen[seen > 0]
        if report.provisional:
            fresh = seen[table[seen] == 0]
            table[fresh] = ids.take(fresh.size) + np.arange(fresh.size)
        else:
            self._one_id.settle(report.t, table, seen, said, ids.take)
        if ids.last > np.iinfo(self._pyramid.dtype).max:
            raise OutputError(
                f"No object id is left in labels of type {self._pyramid.dtype}.", "Segment the image in a new project."
            )
        return table[report.labels]

    def take(self, report: Any) -> None:
        """Tell what was written, and write into work areas, unless a stroke is under way there: then it waits."""
        if isinstance(report, Written):
            self._session.events.pyramid_changed.emit(self._image_id, report.t, report.box)
            self._write_late(report)
        elif isinstance(report, tuple):
            one, block = report
            self._session.when_not_stroking(one.labels, lambda: self._write(one, block))

    def _write_late(self, written: Written) -> None:
        """Write into work areas that were made after the segmentation began: `prepare` knows nothing of these."""
        known = {one.image_id for one in self._areas}
        for one in self._areas_now(self._image_id):
            common = overlap(one.area.box, written.box) if one.area.t == written.t else None
            if one.image_id not in known and common is not None:
                self._late[one.image_id] = one
                for chunk, _ in chunks(common):
                    self._session.soon(one.labels, partial(self._copy, one, written.t, chunk))

    def _copy(self, one: WorkedOn, t: int, box: Box) -> None:
        labels = self._pyramid.read(t, box)
        self._write(one, LabelBlock(0, inside(box, one.area.box), labels, provisional=False))

    def _write(self, one: WorkedOn, block: LabelBlock) -> None:
        if one.image_id not in self._forgotten:
            # Undoing an earlier prediction of the area would bring labels back that the image no longer has.
            self._forgotten.add(one.image_id)
            history = self._session.history
            history.forget(lambda step: isinstance(step, PredictionStep) and step.labels is one.labels)
            self._session.events.history_changed.emit()
        self._wrote(one, one.labels.truth.write_prediction(block.t, block.box, block.labels))
        self._session.tell_places(one.image_id, one.labels, ((block.t, block.box),))

    def _wrote(self, one: WorkedOn, edit: PredictionEdit) -> None:
        """Take notice of what was written into a work area; it is no step of the history."""

    def finish(self, origin: Origin, then: Callable[[LabelStep | None], None] = lambda step: None) -> None:
        """Note where the labels came from; there is no step of the history."""
        self._note(origin)
        self._note_origin(origin)
        for one in (*self._areas, *self._late.values()):
            one.labels.origin = replace(origin, scores="", frames=())
        then(None)

    def take_back(self) -> None:
        """Keep what was finished: it may be hours of work, and the next run writes over it."""
        self._note(None)

    def _note(self, origin: Origin | None) -> None:
        values = {} if origin is None else {"origin": origin_to_json(origin)}
        self._pyramid.note({**values, "last_id": 0 if self._ids is None else self._ids.last})
