"""Labels of a large image that count only as a whole: other settings hold everywhere or nowhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy.typing as npt

from napari_unet.image.boxes import Box, whole
from napari_unet.learning.counting import IdCounter
from napari_unet.learning.edits import PredictionEdit, combine
from napari_unet.project.before import Before
from napari_unet.project.pyramid import LabelPyramid
from napari_unet.session.core import SessionCore
from napari_unet.session.pyramid_writing import PyramidWriter, WorkedOn
from napari_unet.session.state import LabelState, Origin
from napari_unet.session.steps import LabelStep


class WholeWriter(PyramidWriter):
    """Writes the blocks of one decoding; if it is stopped or fails, what was there before comes back.

    Decoding anew takes minutes rather than hours, and a mixture of two thresholds would look like one result.

    Parameters
    ----------
    session, image_id, pyramid, ids, areas, note, ready
        See `PyramidWriter`.
    before : Before
        Keeps what is written over.
    over : callable
        Gets `before`, and whether what was written counts; returns at once.
    """

    def __init__(
        self,
        session: SessionCore,
        image_id: str,
        pyramid: LabelPyramid,
        ids: IdCounter | None,
        areas: Callable[[str], Sequence[WorkedOn]],
        note: Callable[[Origin], None],
        ready: Callable[[], None],
        before: Before,
        over: Callable[[Before, bool], None],
    ) -> None:
        super().__init__(session, image_id, pyramid, ids, areas, note, ready)
        self._before, self._over = before, over
        self._edits: dict[str, list[PredictionEdit]] = {}

    def _put(self, t: int, box: Box, labels: npt.NDArray[Any]) -> None:
        self._before.write(t, box, labels)

    def _wrote(self, one: WorkedOn, edit: PredictionEdit) -> None:
        self._edits.setdefault(one.image_id, []).append(edit)

    def finish(self, origin: Origin, then: Callable[[LabelStep | None], None] = lambda step: None) -> None:
        """Note where the labels came from; those before are gone."""
        self._over(self._before, True)
        super().finish(origin, then)

    def take_back(self) -> None:
        """Bring back what was there; work areas then write into it what was corrected meanwhile."""
        self._over(self._before, False)
        for one in self._areas:
            self._session.when_not_stroking(one.labels, partial(self._undo, one.image_id, one.labels))
        super().take_back()

    def _undo(self, image_id: str, labels: LabelState) -> None:
        combine(self._edits.pop(image_id, [])).undo(labels.truth)
        self._session.tell_places(image_id, labels, ((0, whole(labels.truth.shape)),))
