"""Images whose labels are too large for the memory: their labels are a pyramid on the disk."""

from __future__ import annotations

import queue
import traceback
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from napari_unet.errors import UserError
from napari_unet.image.boxes import Box
from napari_unet.jobs import JobRunner
from napari_unet.jobs.writing import BackgroundWriter
from napari_unet.learning.counting import IdCounter
from napari_unet.project.before import Before
from napari_unet.project.folder import WorkFolder
from napari_unet.project.pyramid import LabelPyramid
from napari_unet.session.describing import image_folder, origin_from_json, truth_name
from napari_unet.session.large import AREA_VOXELS
from napari_unet.session.predicting import Writer
from napari_unet.session.pyramid_writing import PyramidWriter, WorkedOn
from napari_unet.session.reopening import Reopening
from napari_unet.session.state import Origin, TruthKey, is_instances
from napari_unet.session.steps import origin_moved
from napari_unet.session.whole_writing import WholeWriter

_LIMIT_BYTES = 2**27  # of labels that wait for the disk


class Pyramids(Reopening):
    """Segments large images into pyramids in the project's folder."""

    def __init__(self, runner: JobRunner | None = None, folder: WorkFolder | None = None) -> None:
        super().__init__(runner, folder)
        self._pyramids: dict[tuple[str, TruthKey], LabelPyramid] = {}
        self._counters: dict[tuple[str, TruthKey], IdCounter] = {}
        self._origins: dict[tuple[str, TruthKey], Origin] = {}  # with scores, which do not outlive the session
        self._decoded: set[str] = set()  # images to which other settings are being applied
        self._pyramid_writer = BackgroundWriter()
        self._on_disk: queue.SimpleQueue[tuple[str, int, Box]] = queue.SimpleQueue()

    def pyramid(self, image_id: str) -> LabelPyramid | None:
        """Return the labels of a large image under the current model's meaning, if there are any."""
        if self.model is None or image_id not in self.images or not self.images[image_id].large:
            return None
        place = image_id, self.key(self.model)
        if place not in self._pyramids and self._folder is not None and self._pyramid_path(*place).is_dir():
            self._open_pyramid(*place)
        return self._pyramids.get(place)

    def ensure_pyramid(self, image_id: str) -> LabelPyramid:
        """Return the labels of a large image, made empty if need be."""
        place = image_id, self.key(self.need_model())
        found = self.pyramid(image_id)
        if found is None:
            found = self._open_pyramid(*place)
            self.events.labels_created.emit(image_id)
        return found

    def pyramid_origin(self, image_id: str) -> Origin:
        """Return what the labels of a large image came from."""
        pyramid = self.pyramid(image_id)
        return Origin() if pyramid is None else origin_from_json(pyramid.notes.get("origin"))

    def lost_by_segmenting(self, image_id: str) -> str:
        """Return which labels of a large image would be replaced for good, as a sentence; empty if none of weight.

        Those of a small one are there again in seconds, and a run that was stopped is gone on with.
        """
        image, made_by = self.image(image_id), self.pyramid_origin(image_id).model
        if made_by is None or image_id in self._unfinished or prod(image.source.shape) <= AREA_VOXELS:
            return ""
        return (
            f"{image.source.name!r} has labels by the model {made_by.name!r}. To segment all of it replaces what you "
            "have not corrected, and cannot be undone."
        )

    def worked_on(self, image_id: str) -> list[WorkedOn]:
        """Return the work areas of a large image that have labels under the current model's meaning, oldest first."""
        found = []
        for area_id, image in self.images.items():
            labels = self.labels(area_id) if image.area is not None and image.area.parent == image_id else None
            if labels is not None and image.area is not None:
                found.append(WorkedOn(area_id, image.area, labels))
        return found

    def need_settled(self, image_id: str) -> None:
        """Raise a `UserError` while other settings are being applied to the labels of a large image."""
        if image_id in self._decoded and "segment" in self.jobs:
            raise UserError("Other settings are being applied to this image.", "Wait until that is done, or stop it.")

    # ---- segmenting ----------------------------------------------------------------------------

    def writer(self, image_id: str, title: str, whole: bool = False) -> Writer:
        """Return what takes the labels of an image; see `Segmenting.writer`."""
        if not self.image(image_id).large:
            return super().writer(image_id, title, whole)
        model = self.need_model()
        pyramid = self.ensure_pyramid(image_id)
        objects = is_instances(model.header.output, self.settings.objects.connected)
        ids = self.ids_of(image_id, self.key(model)) if objects else None
        place = image_id, self.key(model)

        def note(origin: Origin) -> None:
            self._origins[place] = origin

        def areas(image_id: str) -> list[WorkedOn]:
            return self.worked_on(image_id) if self.pyramid(image_id) is pyramid else []

        ready = self._pyramid_writer.finish
        self._decoded.discard(image_id)
        if not whole:
            return PyramidWriter(self, image_id, pyramid, ids, areas, note, ready)
        self._decoded.add(image_id)

        def over(before: Before, counts: bool) -> None:
            self._decoded.discard(image_id)
            self._pyramid_writer.put(before.forget if counts else lambda: self._bring_back(image_id, before))

        return WholeWriter(self, image_id, pyramid, ids, areas, note, ready, Before(pyramid), over)

    def shown_origin(self, image_id: str) -> Origin:
        """Return what the labels on screen came from; its scores are there if it was segmented in this session."""
        if self.model is None or not self.image(image_id).large:
            return super().shown_origin(image_id)
        return self._origins.get((image_id, self.key(self.model))) or self.pyramid_origin(image_id)

    def ids_of(self, image_id: str, key: TruthKey) -> IdCounter:
        """Return what gives ids to the objects of a large image and of its work areas."""
        return self._counters.setdefault((image_id, key), IdCounter())

    # ---- files ---------------------------------------------------------------------------------

    def _pyramid_path(self, image_id: str, key: TruthKey) -> Path:
        return self.folder.path / "pyramids" / image_folder(image_id) / f"{truth_name(key)}.zarr"

    def _open_pyramid(self, image_id: str, key: TruthKey) -> LabelPyramid:
        source = self.image(image_id).source
        path = self._pyramid_path(image_id, key)
        path.parent.mkdir(parents=True, exist_ok=True)
        dtype = np.uint32 if key == ("instances",) else np.uint16
        pyramid = LabelPyramid(path, source.shape, dtype, source.scale_um)
        self.ids_of(image_id, key).see(int(pyramid.notes.get("last_id", 0)))
        self._pyramids[image_id, key] = pyramid
        before = Before(pyramid)
        if before.folder.is_dir():
            self._pyramid_writer.put(lambda: self._bring_back(image_id, before))
            said = f"Other settings were being applied to {source.name!r} when the program ended; they were taken back."
            self.events.message.emit("info", said, "")
        return pyramid

    def _bring_back(self, image_id: str, before: Before) -> None:
        for t, box in before.bring_back():
            self._on_disk.put((image_id, t, box))

    def put_labels(self, image_id: str, pyramid: LabelPyramid, t: int, box: Box, labels: Any) -> None:
        """Write labels into a pyramid in the background; it is told once they are there."""
        if self._pyramid_writer.waiting_bytes > _LIMIT_BYTES:
            self._pyramid_writer.finish()

        def write() -> None:
            pyramid.write(t, box, labels)
            self._on_disk.put((image_id, t, box))

        self._pyramid_writer.put(write, labels.nbytes)

    def _tell_written(self) -> None:
        while True:
            try:
                image_id, t, box = self._on_disk.get_nowait()
            except queue.Empty:
                break
            if image_id in self.images:
                self.events.pyramid_changed.emit(image_id, t, box)
        error = self._pyramid_writer.take_error()
        if error is not None:
            details = "".join(traceback.format_exception(error))
            self.events.message.emit("error", f"The labels could not be written: {error}", details)

    def _close_pyramids(self) -> None:
        """Write what waits, and let go of the files."""
        self._pyramid_writer.finish()
        for (image_id, key), pyramid in self._pyramids.items():
            if (image_id, key) in self._counters and pyramid.path.is_dir():
                pyramid.note({"last_id": self._counters[image_id, key].last})
        self._pyramids.clear()
        self._tell_written()

    # ---- with the session ----------------------------------------------------------------------

    def deliver(self, seconds: float = 0.008) -> None:
        """Do what waited and handle messages of jobs, as before; then tell what was written to the disk."""
        super().deliver(seconds)
        self._tell_written()

    @property
    def busy(self) -> bool:
        """Whether `deliver` should be called soon: a job runs, or something waits."""
        return super().busy or not self._pyramid_writer.idle or not self._on_disk.empty()

    def save(self) -> None:
        """Save everything now, and return once it is on the disk."""
        super().save()
        self._pyramid_writer.finish()
        self._tell_written()

    def _close_project(self) -> None:
        self._close_pyramids()
        super()._close_project()

    def _rebase(self, old: Path, new: Path) -> None:
        super()._rebase(old, new)
        for place, origin in tuple(self._origins.items()):
            self._origins[place] = origin_moved(origin, old, new)

    def _leave(self) -> None:
        super()._leave()
        self._counters.clear()
        self._origins.clear()
