"""The results on screen: one Labels layer per image and meaning of its labels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from psygnal import Signal
from qtpy.QtCore import QTimer

from napari_unet.image.boxes import Box, whole
from napari_unet.viewer.images import ImageChoice
from napari_unet.viewer.layers import axes_of
from napari_unet.viewer.making import add_quietly, class_colormap, layer_axes, make_layer
from napari_unet.viewer.results import ResultLayer, shares
from napari_unet.viewer.strokes import StrokeRecorder
from napari_unet.viewer.sweep import Sweep

if TYPE_CHECKING:
    from napari import Viewer
    from napari.layers import Labels

    from napari_unet.session.session import Session
    from napari_unet.session.state import LabelState


class ShownResults:
    """Makes, clamps and gives up the Labels layers of a session.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer itself.
    session : Session
        Whose labels are shown.
    image : ImageChoice
        Knows which image layer belongs to which image of the session.
    run : callable
        Runs a command; its errors become messages.
    """

    made = Signal(object)  # a layer that is new
    released = Signal(object)  # a layer that is no longer ours

    def __init__(
        self, viewer: Viewer, session: Session, image: ImageChoice, run: Callable[[Callable[[], Any]], Any]
    ) -> None:
        self.viewer, self.session, self.image, self._run = viewer, session, image, run
        self._results: dict[str, list[tuple[ResultLayer, StrokeRecorder]]] = {}
        self._painted: str | None = None  # image whose stroke is being taken over
        self._dismissed: set[str] = set()  # images whose result the user removed while it was coming in
        session.events.images_changed.connect(self._on_images_changed)
        viewer.layers.events.removed.connect(self._on_layer_removed)
        viewer.dims.events.order.connect(self.clamp)
        viewer.dims.events.ndisplay.connect(self.clamp)

    def close(self) -> None:
        """Let go of all layers; they stay in the viewer."""
        self.session.events.images_changed.disconnect(self._on_images_changed)
        self.viewer.layers.events.removed.disconnect(self._on_layer_removed)
        self.viewer.dims.events.order.disconnect(self.clamp)
        self.viewer.dims.events.ndisplay.disconnect(self.clamp)
        for image_id, result, recorder in self._all():
            self._release(image_id, result, recorder)

    def _all(self) -> Iterator[tuple[str, ResultLayer, StrokeRecorder]]:
        for image_id, results in tuple(self._results.items()):
            for result, recorder in tuple(results):
                yield image_id, result, recorder

    # ---- which ---------------------------------------------------------------------------------

    def current(self, image_id: str) -> ResultLayer | None:
        """Return the layer of an image's labels under the current model, if there is one."""
        labels = self._labels(image_id)
        if labels is None:
            return None
        found = (result for result, _ in self._results.get(image_id, ()) if result.holds(labels.array))
        return next(found, None)

    def ensure(self, image_id: str, blank: bool = False) -> ResultLayer | None:
        """Return the layer of an image's labels, made if need be; None if the user removed it meanwhile.

        ``blank`` tells that the labels are nothing but zeros yet.
        """
        result = self.current(image_id)
        labels, layer = self._labels(image_id), self.image.layer_of(image_id)
        if result is not None or labels is None or layer is None or image_id in self._dismissed:
            return result
        name, classes = f"{layer.name} labels", self.classes(labels)
        metadata = {"image": layer.name, "model": self.session.need_model().header.name}
        # Hidden at first: napari makes the picture of a wide layer once on its own and once in the viewer.
        place, is_area = self.image.place_of(image_id), self.session.images[image_id].area is not None
        name = f"{layer.name} work area" if is_area else name
        made, axes = make_layer(layer, axes_of(layer), labels.array, classes, name, metadata, False, place)
        made.bounding_box.visible = is_area
        add_quietly(self.viewer, made)
        result = self._take(image_id, made, axes)
        self.sync()
        result.appear(blank)
        return result

    def take_up(self) -> None:
        """Take up the layers of an earlier panel, and what was painted into them since."""
        for image_id, image in self.session.images.items():
            source_layer = self.image.layer_of(image_id)
            for layer in tuple(self.viewer.layers) if source_layer is not None else ():
                arrays = [state.array for state in image.labels.values()]
                if type(layer).__name__ == "Labels" and any(shares(layer.data, array) for array in arrays):
                    result = self._take(image_id, layer, layer_axes(axes_of(source_layer), source_layer.rgb))
                    if result is self.current(image_id):
                        self._run(lambda i=image_id, r=result: self._stroke_ended(i, r, None))
        self.sync()

    def _take(self, image_id: str, layer: Labels, axes: str) -> ResultLayer:
        result = ResultLayer(self.viewer, layer, axes)
        self._results.setdefault(image_id, []).append((result, self._recorder(image_id, result)))
        layer.events.data.connect(self._on_data_replaced)
        layer.events.n_edit_dimensions.connect(self.clamp)
        self.made.emit(layer)
        return result

    def drop(self, image_id: str) -> None:
        """Take the layers of an image's labels off the screen; the labels stay in the session."""
        for result, recorder in tuple(self._results.get(image_id, ())):
            self._release(image_id, result, recorder)
            if result.alive:
                self.viewer.layers.remove(result.layer)

    def expect(self, image_id: str) -> None:
        """Make the layer again, if the user removed it: a new result was asked for."""
        self._dismissed.discard(image_id)

    def classes(self, labels: LabelState) -> Any:
        """Return the classes whose colours the labels have; None for objects."""
        return None if labels.truth.instances else self.session.need_model().header.output.classes

    def _labels(self, image_id: str) -> LabelState | None:
        return self.session.labels(image_id) if image_id in self.session.images else None

    # ---- strokes -------------------------------------------------------------------------------

    def _recorder(self, image_id: str, result: ResultLayer) -> StrokeRecorder:
        def begin() -> None:
            # An error must not reach napari: it would give up the mouse callbacks that paint.
            self._run(lambda: self.session.begin_stroke(image_id))

        def end(swept: Sweep | None) -> None:
            self._run(lambda: self._stroke_ended(image_id, result, swept))
            QTimer.singleShot(0, self._forget_strokes)

        def so_far(swept: Sweep) -> None:
            for (t, box), mask in result.places(swept) if image_id in self.session.images else ():
                self._run(lambda t=t, box=box, mask=mask: self.session.save_stroke_so_far(image_id, t, box, mask))

        return StrokeRecorder(result.layer, result.painted_axes, begin, end, so_far)

    def _stroke_ended(self, image_id: str, result: ResultLayer, swept: Sweep | None) -> None:
        if image_id not in self.session.images:
            return
        if swept is not None:
            for (t, box), mask in result.places(swept):
                self._painted = image_id
                self.session.end_stroke(image_id, t, box, mask, result.layer.mode)
                self._painted = None
            return
        times, *shape = self.session.image(image_id).source.shape
        for t in range(times):
            self.session.end_stroke(image_id, t, whole(shape), None, "edit")

    def show(self, image_id: str, t: int, box: Box) -> ResultLayer | None:
        """Show a box of an image's labels, and return the layer.

        What the user has just painted is on screen: the first change told after a stroke is the stroke
        itself, and those that follow are writes that waited for its end.
        """
        result = self.ensure(image_id)
        painted, self._painted = self._painted, None
        if result is not None and painted != image_id:
            result.show(t, box)
        return result

    def _forget_strokes(self) -> None:
        """Keep napari's own undo empty; never in the middle of a stroke."""
        for _, result, recorder in self._all():
            if not recorder.active and result.alive:
                result.forget_strokes()

    # ---- keeping in step -----------------------------------------------------------------------

    def sync(self) -> None:
        """Only labels of the current meaning can be painted in; those of another model wait, hidden."""
        for image_id, result, _ in self._all():
            was, result.writable = result.writable, result is self.current(image_id)
            if was != result.writable:
                result.layer.visible = result.writable
        self.clamp()

    def recolor(self) -> None:
        """Give every layer of classes the colours that its classes have now."""
        for image_id, result, _ in self._all():
            labels = self._labels(image_id)
            if labels is not None and result.writable and not labels.truth.instances:
                result.layer.colormap = class_colormap(self.classes(labels))

    def clamp(self, event: Any = None) -> None:
        """Keep the tools within space, over as many axes as the model has."""
        model = self.session.model
        for _, result, recorder in self._all():
            if not recorder.active:
                result.clamp(2 if model is None else model.header.ndim)

    def write_provenance(self, key: str) -> None:
        """Let every layer carry which model, settings and image its labels come from."""
        for image_id in self._results:
            result, labels = self.current(image_id), self._labels(image_id)
            if result is not None and labels is not None and labels.model is not None:
                result.layer.metadata[key] = self.session.provenance(image_id)

    # ---- giving up -----------------------------------------------------------------------------

    def clear(self) -> None:
        """Give up all results and remove their layers: the session holds other work from now on."""
        layers = [result.layer for _, result, _ in self._all() if result.alive]
        for image_id, result, recorder in self._all():
            self._release(image_id, result, recorder)
        self._results.clear()
        self._dismissed.clear()
        for layer in layers:
            self.viewer.layers.remove(layer)

    def _on_layer_removed(self, event: Any) -> None:
        """Give up a result that the user removed; what is coming in for it stops."""
        for image_id, result, recorder in self._all():
            if result.layer is event.value:
                self._dismissed.add(image_id)
                self._release(image_id, result, recorder)
                self.session.cancel("segment")

    def _on_images_changed(self) -> None:
        """Give up the results of an image that is gone: their layers are plain ones from now on."""
        for image_id, result, recorder in tuple(self._all()):
            if image_id not in self.session.images:
                self._release(image_id, result, recorder)
                if result.alive:
                    result.layer.editable = True
        for image_id in tuple(self._results):
            if image_id not in self.session.images:
                del self._results[image_id]
                self._dismissed.discard(image_id)

    def _on_data_replaced(self, event: Any) -> None:
        """Give up a layer that got other data: nothing is written into what is not ours."""
        for image_id, result, recorder in self._all():
            states = self.session.images[image_id].labels.values() if image_id in self.session.images else ()
            if result.layer is event.source and not any(result.holds(state.array) for state in states):
                self._release(image_id, result, recorder)
                self.session.cancel("segment")
                sentence = f"The layer '{result.layer.name}' got other data; take it over with Import labels."
                self.session.events.message.emit("info", sentence, "")

    def _release(self, image_id: str, result: ResultLayer, recorder: StrokeRecorder) -> None:
        self._results[image_id].remove((result, recorder))
        layer: Labels = result.layer
        recorder.close()
        result.close()
        layer.events.data.disconnect(self._on_data_replaced)
        layer.events.n_edit_dimensions.disconnect(self.clamp)
        self.released.emit(layer)
