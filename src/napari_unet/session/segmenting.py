"""Commands of segmentation: run the model, write what comes, decode again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

from napari_unet.errors import OutputError, UserError
from napari_unet.image.boxes import Box, overlap, whole
from napari_unet.image.source import ImageSource
from napari_unet.inference.labels.keeping import are_kept
from napari_unet.inference.labels.objects import ObjectSettings
from napari_unet.inference.tiles.windowing import Window
from napari_unet.jobs import Job, JobRunner, JobState
from napari_unet.model.header import Output
from napari_unet.project.folder import WorkFolder
from napari_unet.session.core import SessionCore
from napari_unet.session.decode_tasks import DecodeRequest, decode_again, decoded_settings
from napari_unet.session.predicting import PredictionWriter, Writer
from napari_unet.session.state import ModelVersion, Origin, statistics_key
from napari_unet.session.steps import LabelStep
from napari_unet.session.tasks import (
    Prepared,
    SegmentRequest,
    SegmentResult,
    segment,
)

View = tuple[int, Box]
Segmented = tuple[str, View | None, bool, tuple[int, ...]]  # image id, view, only the view, time points


class Segmenting(SessionCore):
    """What the model does to labels."""

    def __init__(self, runner: JobRunner | None = None, folder: WorkFolder | None = None) -> None:
        super().__init__(runner, folder)
        self._segmented: dict[str, Segmented] = {}  # by image, the latest last
        self._unfinished: dict[str, str] = {}  # scores of runs that were stopped, by image

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
            If no model is chosen, it is untrained, a segmentation runs, or nothing of the image is in view though
            only that is wanted.
        """
        self.need_no_round()
        view = None if view is None else self.in_image(image_id, view)
        if only_view and view is None:
            raise UserError("Nothing of the image is in view.", "Move it into view, or segment all of it.")
        times: tuple[int, ...] = (t,)
        if all_times and not only_view:
            times += tuple(other for other in range(self.image(image_id).source.n_times) if other != t)
        shown = None if view is None else (t, view)
        return self.segment_with(self.need_model(), image_id, shown, only_view, times, "segment")

    def in_image(self, image_id: str, view: Box) -> Box | None:
        """Return the part of a view that lies in an image; None if nothing does."""
        shape = self.image(image_id).source.shape[1:]
        return overlap(view, whole(shape))

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
        image, writer = self.image(image_id), self.writer(image_id, title)
        self.last_view = (image_id, view, only_view, times)
        measured = statistics_key(version.header)
        source, window = self.seen_by_model(image_id)
        # Where the last run was stopped, this one goes on, if it is the same: the job finds out.
        going_on = self._unfinished.pop(image_id, "")
        if not Path(going_on).parent.is_dir():
            going_on = ""
        scores = going_on or str(self.folder.new_scores((writer.scores, *self._unfinished.values())))
        request = SegmentRequest(
            version.path,
            source,
            image.statistics.get(measured),
            times,
            view,
            only_view,
            self.settings.device,
            self.settings.precision,
            self.settings.objects,
            scores,
            self.settings.options,
            window,
        )
        objects = request.objects.settled(request.options.object_ndim(version.header.ndim, image.source.shape[1]))
        settings: dict[str, object] = {"objects": asdict(objects), "options": asdict(request.options)}
        origin = Origin(version.header, settings, request.scores or "")

        def reported(report: object) -> None:
            if isinstance(report, Prepared):
                image.statistics[measured] = report.statistics
                if "segment" in self.jobs:
                    self.jobs["segment"].note = " ".join(report.notes)
            else:
                writer.take(report)

        def done(result: SegmentResult) -> None:
            settings = {**origin.settings, "seconds": round(result.seconds, 3)}
            writer.finish(replace(origin, settings=settings, frames=result.frames), then)
            if not result.found:
                self.events.message.emit("info", nothing_found(image.source.name, version.header.output), "")

        def stopped(job: Job) -> None:
            if not isinstance(job.error, OutputError) or are_kept(scores):  # a full disk leaves what is finished
                self._unfinished[image_id] = scores
            if job.state is JobState.CANCELLED:
                writer.finish(origin, then)
                self.events.message.emit("info", writer.stopped, "")
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

    def writer(self, image_id: str, title: str, whole: bool = False) -> Writer:
        """Return what takes the labels of an image; if they count only as a `whole`, those of a stopped run go."""
        return PredictionWriter(self, image_id, self.ensure_labels(image_id), title)

    def shown_origin(self, image_id: str) -> Origin:
        """Return what the labels on screen came from."""
        labels = self.labels(image_id)
        return Origin() if labels is None else labels.origin

    def seen_by_model(self, image_id: str) -> tuple[ImageSource, Window | None]:
        """Return the image that a model reads, and which part of it is wanted if it is not all."""
        return self.lazy_source(image_id), None

    def look_at(self, image_id: str, t: int, view: Box) -> None:
        """Tell that the user looks elsewhere: a segmentation of this image goes on there.

        Parameters
        ----------
        image_id : str
            Which image.
        t : int
            Time point on screen.
        view : tuple of slice
            (z, y, x) box on screen.
        """
        running = self.jobs.get("segment")
        if running is not None and self.last_view is not None and self.last_view[0] == image_id:
            running.job.steer((t, view))

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

    def decode(self, image_id: str, objects: ObjectSettings, view: View | None = None) -> Job | None:
        """Turn the kept scores into labels with other settings, without the network.

        Parameters
        ----------
        image_id : str
            Which image.
        objects : ObjectSettings
            The settings; from now on those of the session.
        view : tuple, optional
            (t, (z, y, x) box) on screen; what it shows is decoded first.

        Raises
        ------
        UserError
            If the image has not been segmented by the current model.
        """
        self.need_no_round()
        for name in ("segment", "model"):
            self.need_idle(name)
        self.settings = replace(self.settings, objects=objects)
        origin = self.shown_origin(image_id)
        if origin.model is None or not origin.frames or not are_kept(origin.scores):
            raise UserError("There are no scores to decode again.", "Click Segment first.")
        writer = self.writer(image_id, "threshold", whole=True)
        flat = origin.flat
        joined = self.settings.options.join_z
        memory = self.settings.options.memory_gb
        request = DecodeRequest(origin.scores, origin.model.output, objects, origin.frames, flat, joined, view, memory)

        def done(result: int) -> None:
            decoded = decoded_settings(origin.settings, objects.settled(2 if flat else 3), joined)
            writer.finish(replace(origin, settings=decoded))

        return self.start_job(
            "segment",
            decode_again,
            request,
            on_report=writer.take,
            on_done=done,
            on_stopped=lambda job: writer.take_back(),
            prepare=writer.prepare,
        )


def nothing_found(name: str, output: Output) -> str:
    """Say that a segmentation left nothing but background, and what may help."""
    if output.kind == "classes":
        return f"All of {name!r} is background. If that is wrong, paint a stroke in each class and click Retrain."
    return (
        f"Nothing was found in {name!r}. Lower the threshold or the minimum size, or say in the details "
        "how large the objects are."
    )
