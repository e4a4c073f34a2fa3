"""Keeps a session and a napari viewer in step: results as layers, strokes and keys as commands."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from psygnal import Signal
from qtpy.QtCore import QTimer

from napari_unet.errors import UserError
from napari_unet.learning.boxes import Box, whole
from napari_unet.viewer.images import ImageChoice
from napari_unet.viewer.keys import CanvasKeys
from napari_unet.viewer.layers import METADATA_KEY, axes_of
from napari_unet.viewer.lookup import bare_viewer, session_of
from napari_unet.viewer.overlay import KnownOverlay
from napari_unet.viewer.results import ResultLayer, add_quietly, make_layer
from napari_unet.viewer.strokes import StrokeRecorder
from napari_unet.viewer.sweep import Sweep

if TYPE_CHECKING:
    from napari import Viewer

    from napari_unet.session.state import LabelState

BUSY_INTERVAL, IDLE_INTERVAL = 15, 100  # ms between two looks at the messages of jobs
DELIVER_SECONDS, DRAW_SECONDS = 0.006, 0.004


class ViewerLink:
    """What stands between one viewer and its session while the panel is open.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer, or the proxy that plugins get.

    Attributes
    ----------
    session : Session
        The viewer's session.
    image : ImageChoice
        Which image the panel works on.
    """

    changed = Signal()
    overlay_changed = Signal(bool)

    def __init__(self, viewer: Viewer) -> None:
        self.viewer = bare_viewer(viewer)
        self.session = session_of(viewer)
        self.image = ImageChoice(self.viewer, self.session)
        self.overlay: KnownOverlay | None = None
        self._results: dict[str, list[tuple[ResultLayer, StrokeRecorder]]] = {}
        self._dismissed: set[str] = set()  # images whose result the user removed while it was coming in
        self._connections = (
            (self.session.events.labels_created, self._on_labels_created),
            (self.session.events.labels_changed, self._on_labels_changed),
            (self.session.events.model_changed, self._on_model_changed),
            (self.session.events.job_changed, self._on_job_changed),
        )
        for signal, slot in self._connections:
            signal.connect(slot)
        self.viewer.layers.events.removed.connect(self._on_layer_removed)
        self.viewer.dims.events.order.connect(self._clamp)
        self.viewer.dims.events.ndisplay.connect(self._clamp)
        self.keys = CanvasKeys(self)
        self._timer = QTimer()
        self._timer.timeout.connect(self._tick)
        self._timer.start(IDLE_INTERVAL)

    def close(self) -> None:
        """Cancel jobs, let go of all layers and remove the helper layer; the session stays."""
        self._timer.stop()
        self.show_known(False)
        for name in tuple(self.session.jobs):
            self.session.cancel(name)
        self.keys.close()
        for results in self._results.values():
            for result, recorder in results:
                self._release(result, recorder)
        self._results.clear()
        for signal, slot in self._connections:
            signal.disconnect(slot)
        self.viewer.layers.events.removed.disconnect(self._on_layer_removed)
        self.viewer.dims.events.order.disconnect(self._clamp)
        self.viewer.dims.events.ndisplay.disconnect(self._clamp)
        self.image.close()
        self.session.runner.close()

    # ---- commands ------------------------------------------------------------------------------

    def run(self, command: Callable[[], Any]) -> Any:
        """Run a command; an error becomes a message in the panel.

        Parameters
        ----------
        command : callable
            Without arguments; its result is returned, or None after an error.
        """
        try:
            return command()
        except UserError as error:
            self.session.events.message.emit("error", str(error), traceback.format_exc())
        return None

    def segment(self, only_view: bool = False) -> None:
        """Segment the current image, what is on screen first."""

        def command() -> None:
            image_id = self.image.need()
            self._dismissed.discard(image_id)
            t, view = self.image.view()
            if only_view and view is None:
                raise UserError("The image is not on screen.", "Move it into view, or segment all of it.")
            self.session.segment(image_id, t, view, only_view=only_view)

        self.run(command)

    def accept_view(self) -> None:
        """Accept what is on screen."""

        def command() -> None:
            image_id = self.image.need()
            t, view = self.image.view()
            if view is None:
                raise UserError("The image is not on screen.", "Move it into view first.")
            self.session.accept_box(image_id, t, view)

        self.run(command)

    def accept_slice(self) -> None:
        """Accept the plane on screen."""

        def command() -> None:
            image_id = self.image.need()
            t, view = self.image.view()
            self.session.accept_slice(image_id, t, 0 if view is None else view[0].start)

        self.run(command)

    def undo(self) -> None:
        """Take the newest step of the session back."""
        self.run(self.session.undo)

    def redo(self) -> None:
        """Do the step that was undone last again."""
        self.run(self.session.redo)

    def result(self) -> ResultLayer | None:
        """Return the result of the current image under the current model, if it is on screen."""
        image_id = self.image.image_id
        return None if image_id is None else self._current(image_id)

    # ---- known ---------------------------------------------------------------------------------

    def show_known(self, shown: bool) -> None:
        """Show or hide what is known."""
        if self.overlay is not None:
            self.overlay.close()
            self.overlay = None
        result, labels = self.result(), self._labels()
        if shown and result is not None and labels is not None:
            self.overlay = KnownOverlay(self.viewer, result, labels.truth, self._classes(labels))
        self.overlay_changed.emit(self.overlay is not None)

    def toggle_known(self) -> None:
        """Show what is known, or hide it."""
        self.show_known(self.overlay is None)

    # ---- results -------------------------------------------------------------------------------

    def ensure_result(self, image_id: str) -> ResultLayer | None:
        """Return the layer of an image's labels under the current model, made if need be."""
        result = self._current(image_id)
        labels, layer = self.session.labels(image_id), self.image.layer_of(image_id)
        if result is not None or labels is None or layer is None:
            return result
        metadata = {"image": layer.name, "model": self.session.need_model().header.name}
        made, axes = make_layer(
            layer, axes_of(layer), labels.array, self._classes(labels), f"{layer.name} labels", metadata
        )
        add_quietly(self.viewer, made)
        result = ResultLayer(self.viewer, made, axes)

        def begin() -> None:
            self.session.begin_stroke(image_id)

        def end(swept: Sweep | None) -> None:
            self.run(lambda: self._stroke_ended(image_id, result, swept))
            QTimer.singleShot(0, self._forget_strokes)

        recorder = StrokeRecorder(made, result.painted_axes, begin, end)
        made.events.data.connect(self._on_data_replaced)
        made.events.n_edit_dimensions.connect(self._clamp)
        self.keys.bind_layer(made)
        self._results.setdefault(image_id, []).append((result, recorder))
        self._sync()
        self.changed.emit()
        return result

    def _stroke_ended(self, image_id: str, result: ResultLayer, swept: Sweep | None) -> None:
        title = result.layer.mode
        if swept is not None:
            for (t, box), mask in result.places(swept):
                self.session.end_stroke(image_id, t, box, mask, title)
            return
        times, *shape = self.session.image(image_id).source.shape
        for t in range(times):
            self.session.end_stroke(image_id, t, whole(shape), None, "edit")

    def _forget_strokes(self) -> None:
        for results in self._results.values():
            for result, recorder in results:
                if not recorder.active and result.alive:
                    result.forget_strokes()

    def _labels(self) -> LabelState | None:
        image_id = self.image.image_id
        return None if image_id is None else self.session.labels(image_id)

    def _current(self, image_id: str) -> ResultLayer | None:
        labels = self.session.labels(image_id)
        if labels is None:
            return None
        found = (result for result, _ in self._results.get(image_id, ()) if result.holds(labels.array))
        return next(found, None)

    def _classes(self, labels: LabelState) -> Any:
        return None if labels.truth.instances else self.session.need_model().header.output.classes

    def _sync(self) -> None:
        """Only labels of the current meaning can be painted in; those of another model wait, hidden."""
        for image_id, results in self._results.items():
            current = self._current(image_id)
            for result, _ in results:
                was, result.writable = result.writable, result is current
                if was and not result.writable:
                    result.layer.visible = False
                elif result.writable and not was:
                    result.layer.visible = True
        self._clamp()

    def _clamp(self, event: Any = None) -> None:
        """Keep the tools within space, over as many axes as the model has."""
        model = self.session.model
        for results in self._results.values():
            for result, recorder in results:
                if not recorder.active:
                    result.clamp(2 if model is None else model.header.ndim)
        self.changed.emit()

    def painting_problem(self) -> str:
        """Return why nothing can be painted in this view, or an empty string."""
        result = self.result()
        if result is None or result.most_dimensions() >= 2:
            return ""
        return "Painting is off: an axis on screen is not space. Show Y and X (or Z) to paint."

    # ---- events --------------------------------------------------------------------------------

    def _tick(self) -> None:
        self.run(lambda: self.session.runner.deliver(DELIVER_SECONDS))
        if self.overlay is not None:
            if not self.overlay.alive:
                self.show_known(False)
            else:
                self.overlay.work(DRAW_SECONDS)
        interval = BUSY_INTERVAL if self.session.runner.busy or self.overlay is not None else IDLE_INTERVAL
        if self._timer.interval() != interval:
            self._timer.setInterval(interval)

    def _on_labels_created(self, image_id: str) -> None:
        self._dismissed.discard(image_id)
        self.ensure_result(image_id)

    def _on_labels_changed(self, image_id: str, t: int, box: Box) -> None:
        result = self._current(image_id)
        if result is None and image_id not in self._dismissed:
            result = self.ensure_result(image_id)
        if result is not None:
            result.show(t, box)
        if self.overlay is not None and result is self.overlay.result:
            self.overlay.update(t, box)

    def _on_model_changed(self) -> None:
        from napari_unet.viewer.results import class_colormap

        self._sync()
        for image_id, results in self._results.items():
            labels, current = self.session.labels(image_id), self._current(image_id)
            for result, _ in results:
                classes = self._classes(labels) if labels is not None and result is current else None
                if classes is not None:
                    result.layer.colormap = class_colormap(classes)
        if self.overlay is not None:
            self.show_known(True)
        self.changed.emit()

    def _on_job_changed(self, name: str) -> None:
        self._timer.setInterval(BUSY_INTERVAL)
        if name == "segment" and name not in self.session.jobs:
            self._dismissed.clear()
            QTimer.singleShot(0, self._write_provenance)

    def _write_provenance(self) -> None:
        for image_id in self._results:
            result = self._current(image_id) if image_id in self.session.images else None
            if result is not None:
                result.layer.metadata[METADATA_KEY] = self.session.provenance(image_id)

    def _on_layer_removed(self, event: Any) -> None:
        """A result that the user removed is left alone; what is coming in for it stops."""
        for image_id, results in self._results.items():
            for result, recorder in tuple(results):
                if result.layer is event.value:
                    self._release(result, recorder)
                    results.remove((result, recorder))
                    self._dismissed.add(image_id)
                    self.session.cancel("segment")
        if self.overlay is not None and not (self.overlay.alive and self.overlay.result.alive):
            self.show_known(False)
        self.changed.emit()

    def _on_data_replaced(self, event: Any) -> None:
        """Somebody gave a result layer other data: it is no longer ours, and nothing is written into it."""
        for image_id, results in self._results.items():
            labels = self.session.images[image_id].labels.values() if image_id in self.session.images else ()
            for result, recorder in tuple(results):
                if result.layer is event.source and not any(result.holds(state.array) for state in labels):
                    self._release(result, recorder)
                    results.remove((result, recorder))
                    self.session.cancel("segment")
                    sentence = f"The layer '{result.layer.name}' got other data; results go to a new layer. Use Import."
                    self.session.events.message.emit("info", sentence, "")

    def _release(self, result: ResultLayer, recorder: StrokeRecorder) -> None:
        recorder.close()
        result.close()
        self.keys.release_layer(result.layer)
        result.layer.events.data.disconnect(self._on_data_replaced)
        result.layer.events.n_edit_dimensions.disconnect(self._clamp)
