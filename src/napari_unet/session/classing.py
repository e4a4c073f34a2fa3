"""Commands that change the classes of a model, and of the labels with it."""

from __future__ import annotations

from dataclasses import replace

from napari_unet.errors import UserError
from napari_unet.model.header import COLORS, CheckpointHeader, ClassInfo
from napari_unet.session.model_tasks import NewModelRequest, new_model
from napari_unet.session.segmenting import Segmenting
from napari_unet.session.state import ModelVersion

_LABEL_JOBS = ("train", "segment", "model")


class Classing(Segmenting):
    """Adds, renames, recolours and removes classes."""

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
