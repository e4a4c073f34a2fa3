"""Commands of segmentation: run the model, write what comes, decode again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from napari_unet.errors import UserError
from napari_unet.image.boxes import Box, inside, overlap, volume
from napari_unet.inference.objects import ObjectSettings
from napari_unet.jobs import Job, JobRunner, JobState
from napari_unet.learning.edits import PredictionEdit, combine
from napari_unet.learning.identity import inherit_ids
from napari_unet.project.folder import WorkFolder
from napari_unet.session.core import SessionCore
from napari_unet.session.state import LabelState, ModelVersion, Origin, statistics_key
from napari_unet.session.steps import LabelStep, PredictionStep
from napari_unet.session.tasks import (
    CHUNK,
    DecodeRequest,
    LabelBlock,
    Prepared,
    SegmentRequest,
    SegmentResult,
    decode_again,
    segment,
)

View = tuple[int, Box]
Segmented = tuple[str, View | None, bool, tuple[int, ...]]  # image id, view, only the view, time points


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

    def prepare(self, report: object) -> Iterator[object]:
        """Give objects their ids and cut the block into chunks; runs off the main thread."""
        if not isinstance(report, LabelBlock):
            yield report
            return
        table = None
        if self._labels.truth.instances:
            table = inherit_ids(report.labels, self._labels.truth, report.t, report.box).astype(np.uint32)
        for chunk, part in _chunks(report.box):
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


def _chunks(box: Box) -> Iterator[tuple[Box, Box]]:
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


class Segmenting(SessionCore):
    """What the model does to labels."""

    def __init__(self, runner: JobRunner | None = None, folder: WorkFolder | None = None) -> None:
        super().__init__(runner, folder)
        self._segmented: dict[str, Segmented] = {}  # by image, the latest last

    @property
    def last_view(self) -> Segmented | None:
        """What was segmented last."""
        return next(reversed(self._segmented.values()), None)

    @last_view.setter
    def last_view(self, view: Segmented | None) -> None:
        if view is None:
            self._segmented.clear()
        else:
            self._segmented.pop(view[0], None)
            self._segmented[view[0]] = view

    def segment(
        self, image_id: str, t: int = 0, view: Box | None = None, *, only_view: bool = False, all_times: bool = True
    ) -> Job | None:
        """Segment an image with the current model.

        Parameters
        ----------
        image_id : str
            Which image.
        t : int
            Time point on screen; it comes first.
        view : tuple of slice, optional
            (z, y, x) box on screen; its tiles come first.
        only_view : bool
            Segment only what is on screen.
        all_times : bool
            Go on with the other time points.

        Returns
        -------
        Job or None
            None if it has ended already (inline jobs).

        Raises
        ------
        UserError
            If no model is chosen, it is untrained, or a segmentation runs.
        """
        self.need_no_round()
        times: tuple[int, ...] = (t,)
        if all_times and not only_view:
            times += tuple(other for other in range(self.image(image_id).source.n_times) if other != t)
        shown = None if view is None else (t, view)
        return self.segment_with(self.need_model(), image_id, shown, only_view, times, "segment")

    def segment_with(
        self,
        version: ModelVersion,
        image_id: str,
        view: View | None,
        only_view: bool,
        times: tuple[int, ...],
        title: str,
        then: Callable[[LabelStep | None], None] = lambda step: None,
    ) -> Job | None:
        """Segment with any version whose labels mean the same as the current model's."""
        if version.untrained:
            raise UserError(
                f"The model '{version.header.name}' has not been trained yet.",
                "Paint a stroke in each class, then click Retrain.",
            )
        for name in ("segment", "model"):
            self.need_idle(name)
        image, labels = self.image(image_id), self.ensure_labels(image_id)
        self.last_view = (image_id, view, only_view, times)
        measured = statistics_key(version.header)
        writer = PredictionWriter(self, image_id, labels, title)
        request = SegmentRequest(
            version.path,
            self.lazy_source(image_id),
            image.statistics.get(measured),
            times,
            view,
            only_view,
            self.settings.device,
            self.settings.precision,
            self.settings.objects,
            str(self.folder.new_scores()),
            self.settings.options,
        )
        settings = {"objects": asdict(request.objects), "options": asdict(request.options)}
        origin = Origin(version.header, settings, request.scores or "")

        def reported(report: object) -> None:
            if isinstance(report, Prepared):
                image.statistics[measured] = report.statistics
                if "segment" in self.jobs:
                    self.jobs["segment"].note = " ".join(report.notes)
            elif isinstance(report, LabelBlock):
                writer.take(report)

        def done(result: SegmentResult) -> None:
            settings = {**origin.settings, "seconds": round(result.seconds, 3)}
            writer.finish(replace(origin, settings=settings, frames=result.frames), then)

        def stopped(job: Job) -> None:
            if job.state is JobState.CANCELLED:
                writer.finish(origin, then)
                self.events.message.emit("info", "Stopped; the finished tiles stay. Undo takes them back.", "")
            else:
                writer.take_back()
                then(None)

        return self.start_job(
            "segment",
            segment,
            request,
            on_report=reported,
            on_done=done,
            on_stopped=stopped,
            prepare=writer.prepare,
        )

    def segment_again(
        self,
        version: ModelVersion,
        title: str = "segment",
        then: Callable[[LabelStep | None], None] = lambda s: None,
        place: tuple[str, int] | None = None,
    ) -> None:
        """Segment with another version what was segmented last; nothing if there was nothing.

        With a `place`, (image id, time point), it is what was segmented last of that image, this time point first;
        the whole time point if there was nothing.
        """
        wanted = self.last_view if place is None else self._segmented_at(*place)
        if wanted is None or wanted[0] not in self.images:
            then(None)
            return
        image_id, view, only_view, times = wanted
        self.segment_with(version, image_id, view, only_view, times, title, then)

    def _segmented_at(self, image_id: str, t: int) -> Segmented:
        _, view, only_view, times = self._segmented.get(image_id, (image_id, None, False, (t,)))
        others = tuple(other for other in times if other != t) if t in times and not only_view else ()
        return image_id, None if view is None else (t, view[1]), only_view, (t, *others)

    def decode(self, image_id: str, objects: ObjectSettings) -> Job | None:
        """Turn the kept scores into labels with other settings, without the network.

        Raises
        ------
        UserError
            If the image has not been segmented by the current model.
        """
        self.need_no_round()
        self.need_idle("model")
        self.settings = replace(self.settings, objects=objects)
        labels = self.labels(image_id)
        origin = Origin() if labels is None else labels.origin
        if labels is None or origin.model is None or not origin.frames or not Path(origin.scores).is_file():
            raise UserError("There are no scores to decode again.", "Click Segment first.")
        writer = PredictionWriter(self, image_id, labels, "threshold")
        flat = origin.model.ndim == 2
        request = DecodeRequest(origin.scores, origin.model.output, objects, origin.frames, flat)

        def done(result: int) -> None:
            writer.finish(replace(origin, settings={**origin.settings, "objects": asdict(objects)}))

        return self.start_job(
            "segment",
            decode_again,
            request,
            on_report=writer.take,
            on_done=done,
            on_stopped=lambda job: writer.take_back(),
            prepare=writer.prepare,
        )
