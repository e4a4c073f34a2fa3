"""Keeps a session and a napari viewer in step while the panel is open."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from psygnal import Signal
from qtpy.QtCore import QTimer

from napari_unet.errors import UserError
from napari_unet.image.boxes import Box
from napari_unet.viewer.accepting import Accepting
from napari_unet.viewer.areas import WorkAreas
from napari_unet.viewer.images import ImageChoice
from napari_unet.viewer.keys import CanvasKeys
from napari_unet.viewer.layers import METADATA_KEY
from napari_unet.viewer.looking import Looking
from napari_unet.viewer.lookup import bare_viewer, session_of
from napari_unet.viewer.next import Guide
from napari_unet.viewer.overlay import KnownOverlay
from napari_unet.viewer.projects import Projects
from napari_unet.viewer.pyramids import PyramidLayers
from napari_unet.viewer.results import ResultLayer
from napari_unet.viewer.shown import ShownResults
from napari_unet.viewer.tools import CanvasTools

if TYPE_CHECKING:
    from napari import Viewer

BUSY_INTERVAL, IDLE_INTERVAL = 15, 100  # ms between two looks at the messages of jobs
DELIVER_SECONDS, DRAW_SECONDS = 0.006, 0.004


class ViewerLink:
    """What stands between one viewer and its session.

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
    results : ShownResults
        The Labels layers.
    pyramids, areas : PyramidLayers, WorkAreas
        The read-only labels of large images, and the parts of them that are corrected.
    accepting : Accepting
        Makes what is on screen known, and asks before it is much.
    tools, keys : CanvasTools, CanvasKeys
        What napari lacks on the canvas, and the keys for it.
    projects : Projects
        Opens an earlier project in this viewer.
    """

    changed = Signal()
    overlay_changed = Signal(bool)

    def __init__(self, viewer: Viewer) -> None:
        self.viewer = bare_viewer(viewer)
        self.session = session_of(viewer)
        self.image = ImageChoice(self.viewer, self.session)
        self.results = ShownResults(self.viewer, self.session, self.image, self.run)
        self.pyramids = PyramidLayers(self.viewer, self.session, self.image)
        self.areas = WorkAreas(self)
        self.looking = Looking(self.viewer, self.session, self.image)
        self.overlay: KnownOverlay | None = None
        self.accepting = Accepting(self)
        self.guide = Guide(self.viewer, self.image, self.results, self.accepting.region)
        self.tools = CanvasTools(self)
        self.keys = CanvasKeys(self)
        self.projects = Projects(self)
        events = self.session.events
        self._connections: tuple[tuple[Any, Any], ...] = (
            (events.labels_created, self._on_labels_created),
            (events.labels_changed, self._on_labels_changed),
            (events.model_changed, self._on_model_changed),
            (events.job_changed, self._on_job_changed),
            (self.results.made, self.keys.bind_layer),
            (self.results.released, self._on_released),
        )
        for signal, slot in self._connections:
            signal.connect(slot)
        self.viewer.dims.events.order.connect(self._tell)
        self.viewer.dims.events.ndisplay.connect(self._tell)
        self._timer = QTimer()
        self._timer.timeout.connect(self._tick)
        self._timer.start(IDLE_INTERVAL)
        self._closed = False
        self._starting = False  # a segmentation is being started: layers are made a moment later
        self.results.take_up()

    def close(self) -> None:
        """End all jobs, let go of all layers and remove the helper layer; the session stays."""
        if self._closed:
            return
        self._closed = True
        self._timer.stop()
        self._timer.timeout.disconnect(self._tick)
        self.show_known(False)
        for name in set(self.session.jobs) - {"train"}:  # which ends with its process, so that it can be resumed
            self.session.cancel(name)
        self.guide.close()
        self.results.close()
        self.pyramids.close()
        self.areas.close()
        self.looking.close()
        self.keys.close()
        self.accepting.close()
        for signal, slot in self._connections:
            signal.disconnect(slot)
        self.viewer.dims.events.order.disconnect(self._tell)
        self.viewer.dims.events.ndisplay.disconnect(self._tell)
        self.image.close()
        self.session.runner.close()
        self.run(self.session.save)

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

    def segment(self, only_view: bool = False, only_area: bool = False) -> None:
        """Segment the current image, what is on screen first.

        Parameters
        ----------
        only_view : bool
            Leave out what is not on screen.
        only_area : bool
            Segment the work area of a large image.
        """

        def command() -> None:
            image_id = self.image.need() if only_area else self.image.need_base()
            self.results.expect(image_id)
            self.pyramids.expect(image_id)
            t, view = self.image.view() if only_area else self.image.base_view()
            if only_view and view is None:
                raise UserError("The image is not on screen.", "Move it into view, or segment all of it.")
            if only_area and self.session.images[image_id].area is None:
                raise UserError("There is no work area.", "Zoom to a place, then click Work area.")
            start = partial(self.session.segment, image_id, t, view, only_view=only_view)
            fresh = self.session.labels(image_id) is None
            self._starting = True
            try:
                start()
            finally:
                self._starting = False
            # To add a layer takes napari long: the worker has begun, and the window draws before.
            if fresh:
                QTimer.singleShot(0, lambda: self._on_labels_created(image_id))

        self.run(command)

    def accept_view(self) -> None:
        """Accept what is on screen."""
        self.accepting.view()

    def accept_slice(self) -> None:
        """Accept the whole plane that is shown, whatever the order of the axes."""
        self.accepting.slice()

    def undo(self) -> None:
        """Take the newest step of the session back."""
        self.run(self.session.undo)

    def redo(self) -> None:
        """Do the step that was undone last again."""
        self.run(self.session.redo)

    def next_region(self) -> None:
        """Go to the region most worth correcting."""
        self.run(self.guide.next_region)

    def done_region(self) -> None:
        """Take the region that the user was led to as right, or as labelled completely."""
        self.run(self.guide.done_region)

    def skip_region(self) -> None:
        """Leave the region that the user was led to."""
        self.run(self.session.skip_region)

    def start_labels(self) -> None:
        """Give the current image empty labels to paint in, for a model that has seen no stroke yet."""

        def command() -> None:
            image_id = self.image.need()
            if self.session.images[image_id].large:
                self.areas.set_from_view()
                return
            self.results.expect(image_id)
            self.session.ensure_labels(image_id)
            self.results.ensure(image_id)

        self.run(command)

    def result(self) -> ResultLayer | None:
        """Return the result of the current image under the current model, if there is one."""
        image_id = self.image.image_id
        return None if image_id is None else self.results.current(image_id)

    def painting_problem(self) -> str:
        """Return why nothing can be painted in this view, or an empty string."""
        result = self.result()
        if result is None or result.most_dimensions() >= 2:
            return ""
        return "Painting is off: an axis on screen is not space. Show Y and X (or Z) to paint."

    # ---- known ---------------------------------------------------------------------------------

    def show_known(self, shown: bool) -> None:
        """Show or hide what is known."""
        if self.overlay is not None:
            self.overlay.close()
            self.overlay = None
        image_id, result = self.image.image_id, self.result()
        labels = None if image_id is None else self.session.labels(image_id)
        if shown and result is not None and labels is not None:
            self.overlay = KnownOverlay(self.viewer, result, labels.truth, self.results.classes(labels))
            self._timer.setInterval(BUSY_INTERVAL)
        self.overlay_changed.emit(self.overlay is not None)

    def toggle_known(self) -> None:
        """Show what is known, or hide it."""
        self.show_known(self.overlay is None)

    # ---- events --------------------------------------------------------------------------------

    def _tick(self) -> None:
        self.run(lambda: self.session.deliver(DELIVER_SECONDS))
        if self.overlay is not None:
            if self.overlay.alive and self.overlay.result is self.result():
                self.overlay.work(DRAW_SECONDS)
            else:
                self.show_known(self.overlay.alive)
        interval = BUSY_INTERVAL if self.session.busy or self.overlay is not None else IDLE_INTERVAL
        if self._timer.interval() != interval:
            self._timer.setInterval(interval)

    def _tell(self, event: Any = None) -> None:
        self.changed.emit()

    def _on_labels_created(self, image_id: str) -> None:
        if self._starting or image_id not in self.session.images:
            return
        # What was written before would have made the layer; a work area begins with labels.
        self.results.ensure(image_id, blank=self.session.images[image_id].area is None)
        self.pyramids.ensure(image_id)
        self.changed.emit()

    def _on_labels_changed(self, image_id: str, t: int, box: Box) -> None:
        result = self.results.show(image_id, t, box)
        if self.overlay is not None and result is self.overlay.result:
            self.overlay.update(t, box)

    def _on_model_changed(self) -> None:
        self.image.settle_level()
        self.results.sync()
        self.results.recolor()
        if self.session.model is not None and self.session.model.untrained and self.image.source is not None:
            self.start_labels()
        if self.overlay is not None:
            self.show_known(True)
        self.changed.emit()

    def _on_job_changed(self, name: str) -> None:
        self._timer.setInterval(BUSY_INTERVAL)
        if name == "segment" and name not in self.session.jobs:
            QTimer.singleShot(0, self._write_provenance)

    def _write_provenance(self) -> None:
        self.results.write_provenance(METADATA_KEY)
        self.pyramids.write_provenance()

    def _on_released(self, layer: Any) -> None:
        self.keys.release_layer(layer)
        self.changed.emit()
