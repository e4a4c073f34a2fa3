"""Commands around models: choose, open, make new, go back."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

from napari_unet.errors import ConsentNeeded, UserError
from napari_unet.inference.labels.objects import ObjectSettings
from napari_unet.jobs import Job, JobState
from napari_unet.model.builtin import PARENTS_ONLY, builtin_names
from napari_unet.model.checkpoint import find_checkpoint, own_header
from napari_unet.model.header import CheckpointHeader, ClassInfo
from napari_unet.session.asking import Asking, ModelQuestion, kept_sentence
from napari_unet.session.classing import Classing, check_classes
from napari_unet.session.device_tasks import list_devices
from napari_unet.session.model_tasks import ImportRequest, NewModelRequest, Opened, import_checkpoint, new_model
from napari_unet.session.state import ModelVersion
from napari_unet.session.steps import ModelStep


class Modelling(Asking, Classing):
    """What the user does with models as a whole."""

    def model_names(self) -> tuple[str, ...]:
        """Return the built-in checkpoints that segment, then the versions of this session, newest last."""
        builtin = tuple(name for name in builtin_names() if not name.startswith(PARENTS_ONLY))
        return (*builtin, *(v.path for v in self.versions if v.path not in builtin))

    def select_model(self, source: str | Path, run_code: str | None = None) -> None:
        """Make a built-in checkpoint, a version of this session or a file the current model.

        A foreign file is screened and converted in the worker process first. Code in it runs only after a yes for
        exactly this code: `events.consent_needed` asks, and the answer is given with the same source. What no file
        says about it is asked by `events.answers_needed`, where somebody listens, and answered with `answer`.

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
                if self.check_trusted(version.path, version.header) and version is not self.model:
                    self.adopt(version, "choose model")
                return
        header = own_header(find_checkpoint(str(source)))
        if header is not None:
            if self.check_trusted(str(source), header):
                self.adopt(ModelVersion(str(source), header, _origin(header.provenance)), "choose model")
            return
        ask = len(self.events.answers_needed) > 0

        def done(result: Opened | ConsentNeeded) -> None:
            if isinstance(result, ConsentNeeded):
                self.ask_for_code(str(source), result)
            elif result.questions is not None:
                self.events.answers_needed.emit(ModelQuestion(str(source), result.questions, run_code))
            else:
                self._take_opened((result.path, result.header))
                if result.answered:
                    self.events.message.emit("info", kept_sentence(Path(source).name), "")

        request = ImportRequest(str(source), str(self.folder.next_model()), run_code, ask)
        self.start_job("model", import_checkpoint, request, on_done=done)

    def answer(self, question: ModelQuestion, said: Mapping[str, str]) -> None:
        """Make a model current as its user says it is; see `answer_model`.

        Raises
        ------
        UserError
            If a training round waits, or another model is being opened.
        """
        self.need_no_round()
        self.answer_model(question, said, self._take_opened)

    def _take_opened(self, opened: tuple[str, CheckpointHeader]) -> None:
        self._take_model("open model", "Opened from a file.")(opened)
        program = opened[1].program
        if program is not None:
            self.events.message.emit("info", program.sentence, "")

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


def _origin(provenance: dict[str, object]) -> str:
    text = provenance.get("description") or provenance.get("data") or ""
    return str(text)
