"""Commands around models: choose, open, make new, change classes, go back."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal

from napari_unet.errors import ConsentNeeded, UserError
from napari_unet.inference.labels.objects import ObjectSettings
from napari_unet.jobs import Job, JobState
from napari_unet.model.builtin import builtin_names
from napari_unet.model.checkpoint import find_checkpoint, own_header
from napari_unet.model.header import COLORS, CheckpointHeader, ClassInfo
from napari_unet.session.device_tasks import list_devices
from napari_unet.session.model_tasks import ImportRequest, NewModelRequest, import_checkpoint, new_model
from napari_unet.session.segmenting import Segmenting
from napari_unet.session.state import ModelVersion
from napari_unet.session.steps import ModelStep
from napari_unet.session.trusting import Trusting

_LABEL_JOBS = ("train", "segment", "model")


class Modelling(Trusting, Segmenting):
    """What the user does with models as a whole."""

    def model_names(self) -> tuple[str, ...]:
        """Return the built-in checkpoints, then the versions of this session, newest last."""
        builtin = builtin_names()
        return (*builtin, *(v.path for v in self.versions if v.path not in builtin))

    def select_model(self, source: str | Path, run_code: str | None = None) -> None:
        """Make a built-in checkpoint, a version of this session or a file the current model.

        A foreign file is screened and converted in the worker process first. Code in it runs only after a yes for
        exactly this code: `events.consent_needed` asks, and the answer is given with the same source.

        Parameters
        ----------
        source : str or Path
            Built-in name or file.
        run_code : str, optional
            SHA-256 of the code that may run, which is remembered; ``"never"`` for weights that need none.

        Raises
        ------
        CheckpointError
            If it is no checkpoint or damaged.
        UserError
            If a training round waits for *Keep* or *Discard*.
        """
        self.need_no_round()
        self.take_answer(str(source), run_code)
        for version in self.versions:
            if version.path == str(source):
                self.adopt(version, "choose model")
                return
        header = own_header(find_checkpoint(str(source)))
        if header is not None:
            if self.check_trusted(str(source), header):
                self.adopt(ModelVersion(str(source), header, _origin(header.provenance)), "choose model")
            return
        take = self._take_model("open model", "Opened from a file.")

        def done(result: tuple[str, CheckpointHeader] | ConsentNeeded) -> None:
            if isinstance(result, ConsentNeeded):
                self.ask_for_code(str(source), result)
            else:
                take(result)
                program = result[1].program
                if program is not None:
                    self.events.message.emit("info", program.sentence, "")

        request = ImportRequest(str(source), str(self.folder.next_model()), run_code)
        self.start_job("model", import_checkpoint, request, on_done=done)

    def start_with(self, source: str) -> None:
        """Make a built-in checkpoint current before the user has done anything: no step of the history."""
        header = own_header(find_checkpoint(source))
        if header is not None:
            self.set_model(ModelVersion(source, header, _origin(header.provenance)))

    def set_device(self, device: str) -> None:
        """Choose what the next jobs run on: "auto", "cpu", "cuda:0", "mps"."""
        self.settings = replace(self.settings, device=device)

    def find_devices(self, then: Callable[[tuple[str, ...]], None]) -> None:
        """Find out, in the worker process, what `set_device` may be given, and hand the names on."""

        def ended(job: Job) -> None:
            if job.state is JobState.DONE:
                then(job.result)

        self.runner.submit(list_devices, on_end=ended)

    def set_objects(self, objects: ObjectSettings) -> None:
        """Choose how the scores of the next segmentation become labels."""
        changed = objects.connected != self.settings.objects.connected
        self.settings = replace(self.settings, objects=objects)
        if changed:
            # Whether a foreground is one class or many objects decides which labels are meant.
            self.events.model_changed.emit()

    def new_model(
        self,
        classes: tuple[ClassInfo, ...],
        parent: str | None = None,
        *,
        ndim: Literal[2, 3] = 2,
        in_channels: int = 1,
        name: str = "my model",
    ) -> None:
        """Make an untrained model with named, coloured classes.

        Parameters
        ----------
        classes : tuple of ClassInfo
            The background first; at least two.
        parent : str, optional
            Built-in name or file whose features it starts from; nothing by default.
        ndim, in_channels : int
            Of a model from nothing; ignored with a parent.
        name : str
            Name to show.

        Raises
        ------
        UserError
            If there are fewer than two classes or a name stands twice.
        """
        self.need_no_round()
        check_classes(classes)
        request = NewModelRequest(
            classes, parent, ndim, in_channels, name, str(self.folder.next_model()), self.settings.seed
        )
        origin = f"from {parent}" if parent else "from nothing"
        summary = f"New model {origin}, {time.strftime('%H:%M')}."
        self.start_job("model", new_model, request, on_done=self._take_model("new model", summary, untrained=True))

    def change_classes(self, classes: tuple[ClassInfo, ...], kept: tuple[int | None, ...]) -> None:
        """Add, rename, recolour or remove classes; what was learned about the kept ones stays.

        This cannot be undone, and the steps before it cannot either.

        Parameters
        ----------
        classes : tuple of ClassInfo
            The new classes, the background first.
        kept : tuple of int or None
            For each of them the index it had before; None for a new class.

        Raises
        ------
        UserError
            If the model finds objects rather than classes, or the names clash.
        """
        self.need_no_round()
        for name in _LABEL_JOBS:
            self.need_idle(name)
        model = self.need_model()
        if model.header.output.instances:
            raise UserError(
                f"The model '{model.header.name}' finds objects, not classes.", "Make a new model with classes instead."
            )
        check_classes(classes)
        request = NewModelRequest(
            classes,
            model.path,
            model.header.ndim,
            model.header.in_channels,
            model.header.name,
            str(self.folder.next_model()),
            self.settings.seed,
        )

        def done(result: tuple[str, CheckpointHeader]) -> None:
            changed = ModelVersion(*result, "Classes changed.", model.untrained)
            self._taught[changed.header.weights_hash] = self.taught_by(model.header.weights_hash)
            stroked = next((labels for labels in self._strokes.values()), None)

            def apply() -> None:
                self._relabel(model, changed, kept)
                self.set_model(changed)

            if stroked is None:
                apply()
            else:
                self.when_not_stroking(stroked, apply)

        self.start_job("model", new_model, request, on_done=done)

    def add_class(self, name: str, color: str | None = None) -> None:
        """Add a class at the end, once no job runs that would mix the old classes with the new ones."""

        def add() -> None:
            classes = self.need_model().header.output.classes
            info = ClassInfo(name, color or COLORS[len(classes) % len(COLORS)])
            self.change_classes((*classes, info), (*range(len(classes)), None))

        self.when_idle(_LABEL_JOBS, add)

    def rename_class(self, index: int, name: str, color: str | None = None) -> None:
        """Give a class another name or colour; see `add_class`."""

        def rename() -> None:
            classes = list(self.need_model().header.output.classes)
            classes[index] = ClassInfo(name, color or classes[index].color)
            self.change_classes(tuple(classes), tuple(range(len(classes))))

        self.when_idle(_LABEL_JOBS, rename)

    def remove_class(self, index: int) -> None:
        """Remove a class; what was known as it becomes unknown."""
        if index == 0:
            raise UserError("The background cannot be removed.", "Rename it instead.")

        def remove() -> None:
            classes = self.need_model().header.output.classes
            kept = tuple(i for i in range(len(classes)) if i != index)
            self.change_classes(tuple(classes[i] for i in kept), kept)

        self.when_idle(_LABEL_JOBS, remove)

    def adopt(self, version: ModelVersion, title: str) -> None:
        """Make a version current, as a step of the history."""
        before = self.model
        self.set_model(version)
        self.history.add(ModelStep(title, self, before, version))
        self.events.history_changed.emit()

    def back(self) -> None:
        """Return to the parent of the current model and segment again with it.

        Raises
        ------
        UserError
            If the parent is not part of this session.
        """
        self.need_no_round()
        parent = self.parent_version()
        if parent is None:
            raise UserError("The model has no parent in this session.", "Choose a model from the list.")
        self.need_idle("segment")
        self.adopt(parent, "back")
        if not parent.untrained:
            self.segment_again(parent)

    def parent_version(self) -> ModelVersion | None:
        """Return the version that the current model was trained from, if this session knows it."""
        if self.model is None or self.model.header.parent is None:
            return None
        wanted = self.model.header.parent
        return next((v for v in reversed(self.versions) if v.header.weights_hash == wanted), None)

    def _take_model(
        self, title: str, summary: str, untrained: bool = False
    ) -> Callable[[tuple[str, CheckpointHeader]], None]:
        def take(result: tuple[str, CheckpointHeader]) -> None:
            path, header = result
            self.adopt(ModelVersion(path, header, summary, untrained), title)

        return take

    def _relabel(self, model: ModelVersion, changed: ModelVersion, kept: tuple[int | None, ...]) -> None:
        """Carry what is known over to the new class indices, in every image."""
        table = {old: new for new, old in enumerate(kept) if old is not None}
        for image in self.images.values():
            labels = image.labels.pop(self.key(model), None)
            if labels is not None:
                labels.truth.relabel(table)
                labels.origin = replace(labels.origin, frames=())
                image.labels[self.key(changed)] = labels
        # The steps before speak of class indices that no longer hold.
        self.history.clear()
        self.events.history_changed.emit()


def check_classes(classes: tuple[ClassInfo, ...]) -> None:
    """Raise a `UserError` unless there are at least two classes with different names."""
    names = [c.name.strip() for c in classes]
    if len(names) < 2:
        raise UserError(f"A model needs at least two classes, got {len(names)}.", "Add a class.")
    if len(set(names)) < len(names) or "" in names:
        raise UserError(f"Every class needs a name of its own; got {', '.join(map(repr, names))}.", "Rename one.")


def _origin(provenance: dict[str, object]) -> str:
    text = provenance.get("description") or provenance.get("data") or ""
    return str(text)
