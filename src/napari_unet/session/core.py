"""The state of a session and the few rules that every command keeps."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_unet.errors import UserError
from napari_unet.image.axes import canonical_view, label_axes
from napari_unet.image.boxes import Box, union
from napari_unet.image.source import ImageSource
from napari_unet.io.lazy import file_behind
from napari_unet.jobs import JobRunner, LazyArray
from napari_unet.learning.edits import Edit
from napari_unet.learning.edits import Step as TruthChange
from napari_unet.learning.truth import Truth
from napari_unet.project.folder import WorkFolder
from napari_unet.session.documents import Documents
from napari_unet.session.history import History
from napari_unet.session.large import is_large
from napari_unet.session.running import Running
from napari_unet.session.settings import SessionSettings
from napari_unet.session.state import (
    Curve,
    ImageState,
    LabelState,
    ModelVersion,
    Round,
    TruthKey,
    is_instances,
    truth_key,
)
from napari_unet.session.steps import LabelStep
from napari_unet.session.tasks import warm_up, warm_up_training


class SessionCore(Running):
    """Images, labels, models and jobs of one viewer or one script.

    Parameters
    ----------
    runner : JobRunner, optional
        Where jobs run: a worker process by default.
    folder : WorkFolder, optional
        Where models go; made in the user's data folder when first needed.
    """

    preview: LabelStep | None = None  # the prediction of a round that waits for Keep or Discard

    def __init__(self, runner: JobRunner | None = None, folder: WorkFolder | None = None) -> None:
        super().__init__(runner or JobRunner())
        self.history = History()
        self.settings = SessionSettings()
        self.images: dict[str, ImageState] = {}
        self.versions: list[ModelVersion] = []
        self.model: ModelVersion | None = None
        self.round: Round | None = None
        self.curve = Curve()
        self.documents = Documents()
        self._folder = folder
        self._numbers = itertools.count(1)
        self._warm: set[str] = set()
        self._taught: dict[str, frozenset[str]] = {}
        self._strokes: dict[str, LabelState] = {}
        self._waiting: list[tuple[LabelState, Callable[[], None]]] = []

    # ---- images and their labels ---------------------------------------------------------------

    @property
    def folder(self) -> WorkFolder:
        """Where this session keeps its models."""
        if self._folder is None:
            self._folder = WorkFolder.create()
        return self._folder

    def add_image(self, source: ImageSource) -> str:
        """Take an image into the session and return its id."""
        image_id = f"{source.name}-{next(self._numbers)}"
        self.images[image_id] = ImageState(image_id, source, large=is_large(source, self.settings.options.memory_gb))
        self.events.images_changed.emit()
        return image_id

    def replace_image(self, image_id: str, source: ImageSource) -> None:
        """Take over a changed image: other channels, a voxel size, or new data of the same shape.

        Raises
        ------
        UserError
            If the shape changed: what is known belongs to the old one.
        """
        image = self.image(image_id)
        if image.labels and source.shape != image.source.shape:
            raise UserError(
                f"The image {source.name!r} changed its shape from {image.source.shape} to {source.shape}.",
                "Add it as a new image; the labels stay with the old one.",
            )
        # A segmentation under way would mix the old image with the new one.
        self.cancel("segment")
        image.source = source
        image.statistics.clear()
        self.events.images_changed.emit()

    def remove_image(self, image_id: str) -> None:
        """Forget an image; jobs that read it are cancelled."""
        self.image(image_id)
        for name in ("segment", "train"):
            self.cancel(name)
        del self.images[image_id]
        self.history.forget(lambda step: isinstance(step, LabelStep) and step.image_id == image_id)
        self.events.images_changed.emit()
        self.events.history_changed.emit()

    def image(self, image_id: str) -> ImageState:
        """Return an image of the session.

        Raises
        ------
        UserError
            If it is gone.
        """
        if image_id not in self.images:
            raise UserError("The image is no longer open.", "Choose another image.")
        return self.images[image_id]

    def labels(self, image_id: str) -> LabelState | None:
        """Return the labels of an image under the current model's meaning, if there are any."""
        if self.model is None:
            return None
        return self.image(image_id).labels.get(self.key(self.model))

    def key(self, version: ModelVersion) -> TruthKey:
        """Return what the label values of a model mean under the current settings."""
        return truth_key(version.header.output, self.settings.objects.connected)

    def labels_array(self, image_id: str) -> npt.NDArray[Any] | None:
        """Return the labels in the image's axis order without C, to be shown and painted in place."""
        labels = self.labels(image_id)
        return None if labels is None else labels.array

    def ensure_labels(self, image_id: str) -> LabelState:
        """Return the labels of an image, made empty if need be.

        Raises
        ------
        UserError
            If no model is chosen, or the image is too large to be corrected as a whole.
        """
        labels = self.labels(image_id)
        if self.image(image_id).large:
            raise UserError(
                "This image is corrected in work areas: it is too large, or has several levels.",
                "Zoom to a place, then click Work area.",
            )
        if labels is None:
            image, model = self.image(image_id), self.need_model()
            instances = is_instances(model.header.output, self.settings.objects.connected)
            axes = label_axes(image.source.axes)
            lengths = dict(zip("TZYX", image.source.shape, strict=True))
            # Object ids are never used twice, so 65,535 of them can run out; classes are few.
            dtype = np.uint32 if instances else np.uint16
            array = np.zeros([lengths[letter] for letter in axes], dtype)
            rim_z = 1 if model.header.ndim == 3 else 0
            labels = image.labels[self.key(model)] = self.fresh_labels(image, array, axes, instances, rim_z)
            self.events.labels_created.emit(image_id)
        return labels

    def fresh_labels(
        self, image: ImageState, array: npt.NDArray[Any], axes: str, instances: bool, rim_z: int
    ) -> LabelState:
        """Return new labels over an array of zeros."""
        return LabelState(Truth(canonical_view(array, axes), empty=True, instances=instances, rim_z=rim_z), array)

    def lazy_source(self, image_id: str) -> ImageSource:
        """Return the image such that a worker process reads it piece by piece, from its file where it has one."""
        source = self.image(image_id).source
        file = file_behind(source.data)
        if file is not None:
            return replace(source, data=file)
        return source if isinstance(source.data, LazyArray) else replace(source, data=LazyArray(source.data))

    def taught_by(self, weights_hash: str) -> frozenset[str]:
        """Return the ids of the images that a model of this session, or its parents, learned from."""
        return self._taught.get(weights_hash, frozenset())

    # ---- the model -----------------------------------------------------------------------------

    def need_model(self) -> ModelVersion:
        """Return the current model.

        Raises
        ------
        UserError
            If there is none.
        """
        if self.model is None:
            raise UserError("No model is chosen.", "Choose a model first.")
        return self.model

    def set_model(self, version: ModelVersion | None) -> None:
        """Make a version current, outside the history."""
        if version is not None and version not in self.versions:
            self.versions.append(version)
        self.model = version
        self.events.model_changed.emit()

    @property
    def undecided(self) -> Round | None:
        """The measured round that waits for *Keep* or *Discard*; a quick refit needs no decision."""
        return None if self.round is None or self.round.quick else self.round

    def need_decided(self) -> None:
        """Raise a `UserError` while a measured round waits for a decision."""
        if self.undecided is not None:
            raise UserError("The last training round waits for your decision.", "Click Keep or Discard first.")

    def need_no_round(self) -> None:
        """Raise a `UserError` while a measured round waits; what else a round left on screen gives way."""
        self.need_decided()

    def warm(self, lane: str) -> None:
        """Start the worker process of "compute" or "train" before the user needs it; never fails."""
        if self.runner.mode == "process" and lane not in self._warm:
            self._warm.add(lane)
            if lane == "train":
                self.runner.submit(warm_up_training, lane=lane)
            else:
                self.runner.submit(warm_up, self.model.path if self.model is not None else None, lane=lane)

    def deliver(self, seconds: float = 0.008) -> None:
        """Do what waited for a stroke, then handle messages of jobs, for about `seconds`.

        A window calls it from a timer, on its main thread.
        """
        end = time.perf_counter() + seconds
        while self._waiting and not self._waiting[0][0].stroking and time.perf_counter() < end:
            self._waiting.pop(0)[1]()
        self.runner.deliver(max(0.0, end - time.perf_counter()))

    @property
    def busy(self) -> bool:
        """Whether `deliver` should be called soon: a job runs, or something waits."""
        return self.runner.busy or bool(self._waiting)

    # ---- changes of labels ---------------------------------------------------------------------

    def need_lifted(self, labels: LabelState) -> None:
        """Raise a `UserError` while a stroke is under way in these labels."""
        if labels.stroking:
            raise UserError("A stroke is under way.", "Lift the tool first.")

    def when_not_stroking(self, labels: LabelState, write: Callable[[], None]) -> None:
        """Write now, or in `deliver` after the stroke that is under way has ended."""
        if labels.stroking or any(waiting is labels for waiting, _ in self._waiting):
            self._waiting.append((labels, write))
        else:
            write()

    def soon(self, labels: LabelState, write: Callable[[], None]) -> None:
        """Write in `deliver`, as soon as there is time and no stroke under way."""
        self._waiting.append((labels, write))

    def record(self, title: str, image_id: str, labels: LabelState, change: TruthChange | None) -> bool:
        """Put a change that has been made into the history and tell about it."""
        if change is None:
            return False
        self.history.add(LabelStep(title, self, image_id, labels, change))
        self.events.history_changed.emit()
        if isinstance(change, Edit):
            self.tell_places(image_id, labels, ((change.t, change.box),))
        return True

    def tell_places(self, image_id: str, labels: LabelState, places: tuple[tuple[int, Box], ...]) -> None:
        """Tell that labels or the known mask changed in these places."""
        if self.images.get(image_id) is None or self.labels(image_id) is not labels:
            return
        boxes: dict[int, Box] = {}
        for t, box in places:
            boxes[t] = union(boxes.get(t, box), box)
        for t, box in boxes.items():
            self.events.labels_changed.emit(image_id, t, box)
        self.events.known_changed.emit(image_id)

    def close(self) -> None:
        """Stop all jobs and remove temporary files."""
        self.runner.close()
        self.jobs.clear()
        if self._folder is not None:
            self._folder.close()
