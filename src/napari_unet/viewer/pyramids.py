"""Labels of large images on screen: read-only pyramids, read from the disk as far as they are in view."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import QTimer

from napari_unet.image.boxes import Box, inside, overlap
from napari_unet.image.cropping import filled
from napari_unet.project.pyramid import LabelPyramid
from napari_unet.viewer.images import ImageChoice
from napari_unet.viewer.layers import METADATA_KEY, axes_of
from napari_unet.viewer.making import add_quietly, class_colormap, layer_axes, make_layer

if TYPE_CHECKING:
    from napari import Viewer
    from napari.layers import Labels

    from napari_unet.session.session import Session

INTERVAL = 150  # ms between two looks at what was written meanwhile
Hidden = Callable[[], tuple[int, Box] | None]


class ShownLevel:
    """One level of a pyramid as napari reads it: lazily, and without the work area, whose own layer shows it.

    napari cuts out what is on screen first and picks the plane and time point afterwards, so a cut must
    not read anything.

    Parameters
    ----------
    pyramid : LabelPyramid
        The labels, (T, Z, Y, X).
    level : int
        Which level.
    axes : str
        Axes of the layer: T, Z, Y, X and a C of length 1, as far as it has them.
    hidden : callable
        Returns the (t, (z, y, x) box) of the finest level that is not shown; None for nothing.
    spans : tuple of slice, optional
        The part that this is, one slice per axis; everything by default.
    """

    def __init__(
        self, pyramid: LabelPyramid, level: int, axes: str, hidden: Hidden, spans: tuple[slice, ...] | None = None
    ) -> None:
        self._pyramid, self._level, self._axes, self._hidden = pyramid, level, axes, hidden
        lengths = {**dict(zip("TZYX", pyramid.levels[level].shape, strict=True)), "C": 1}
        self._spans = spans or tuple(slice(0, int(lengths[letter])) for letter in axes)

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths along the layer's axes."""
        return tuple(span.stop - span.start for span in self._spans)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self._spans)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the labels."""
        return self._pyramid.dtype

    @property
    def size(self) -> int:
        """Number of voxels."""
        return int(np.prod(self.shape))

    def __getitem__(self, key: Any) -> Any:
        """Cut out a part, unread; with an index among the slices, read it."""
        entries = filled(key, self.ndim)
        spans, picked = [], []
        for entry, span, length in zip(entries, self._spans, self.shape, strict=True):
            if isinstance(entry, slice):
                start, stop, _ = entry.indices(length)
                spans.append(slice(span.start + start, span.start + max(start, stop)))
                picked.append(slice(None, None, entry.step))
            else:
                at = span.start + int(entry) % max(length, 1)
                spans.append(slice(at, at + 1))
                picked.append(0)
        part = ShownLevel(self._pyramid, self._level, self._axes, self._hidden, tuple(spans))
        unread = all(isinstance(one, slice) and one.step in (None, 1) for one in picked)
        return part if unread else np.asarray(part)[tuple(picked)]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        at = dict(zip(self._axes, self._spans, strict=True))
        box = (at.get("Z", slice(0, 1)), at["Y"], at["X"])
        times = at.get("T", slice(0, 1))
        found = np.stack([self._read(t, box) for t in range(times.start, times.stop)])
        order = [letter for letter in self._axes if letter != "C"]
        found = found.transpose(["TZYX".index(letter) for letter in order] + self._missing(order))
        found = found.reshape(self.shape)
        return found if dtype is None else found.astype(dtype)

    def _missing(self, order: list[str]) -> list[int]:
        return ["TZYX".index(letter) for letter in "TZYX" if letter not in order]

    def _read(self, t: int, box: Box) -> npt.NDArray[Any]:
        labels = self._pyramid.read(t, box, self._level)
        hidden = self._hidden()
        if hidden is not None and hidden[0] == t:
            common = overlap(self._pyramid.level_box(hidden[1], self._level), box)
            if common is not None:
                labels = labels.copy()
                labels[inside(common, box)] = 0
        return labels


class PyramidLayers:
    """The Labels layers of large images; they cannot be painted in.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer itself.
    session : Session
        Whose pyramids are shown.
    image : ImageChoice
        Knows which image layer belongs to which image of the session.
    """

    def __init__(self, viewer: Viewer, session: Session, image: ImageChoice) -> None:
        self.viewer, self.session, self.image = viewer, session, image
        self._layers: dict[tuple[str, LabelPyramid], Labels] = {}
        self._waiting: set[str] = set()
        self._dismissed: set[str] = set()  # images whose result the user removed
        self._timer = QTimer()
        self._timer.timeout.connect(self._look_again)
        events = session.events
        self._connections: tuple[tuple[Any, Any], ...] = (
            (events.pyramid_changed, self._on_written),
            (events.area_changed, self._on_area),
            (events.images_changed, self._on_images),
            (events.project_changed, self._on_project),
            (events.model_changed, self.sync),
        )
        for signal, slot in self._connections:
            signal.connect(slot)
        viewer.layers.events.removed.connect(self._on_removed)

    def close(self) -> None:
        """Stop following; the layers stay in the viewer."""
        for signal, slot in self._connections:
            signal.disconnect(slot)
        self.viewer.layers.events.removed.disconnect(self._on_removed)
        self._timer.stop()
        self._layers.clear()

    def clear(self) -> None:
        """Remove all layers: the session holds other work from now on."""
        layers = [layer for layer in self._layers.values() if layer in self.viewer.layers]
        self._layers.clear()
        for layer in layers:
            self.viewer.layers.remove(layer)
        self._dismissed.clear()

    def current(self, image_id: str) -> Labels | None:
        """Return the layer of a large image's labels under the current model, if there is one."""
        pyramid = self.session.pyramid(image_id)
        return None if pyramid is None else self._layers.get((image_id, pyramid))

    def expect(self, image_id: str) -> None:
        """Make the layer again, if the user removed it: a new result was asked for."""
        self._dismissed.discard(image_id)

    def ensure(self, image_id: str) -> Labels | None:
        """Return the layer of a large image's labels, made if need be; None if there are none."""
        pyramid, layer = self.session.pyramid(image_id), self.image.layer_of(image_id)
        if pyramid is None or layer is None or image_id in self._dismissed:
            return None
        made = self._layers.get((image_id, pyramid)) or self._of_earlier_panel(pyramid)
        if made is None:
            made = self._make(image_id, pyramid)
        if self._layers.get((image_id, pyramid)) is not made:
            self._layers[image_id, pyramid] = made
            self.sync()
        return made

    def _make(self, image_id: str, pyramid: LabelPyramid) -> Labels:
        layer, model = self.image.layer_of(image_id), self.session.need_model()
        assert layer is not None
        shown = layer_axes(axes_of(layer), layer.rgb)

        def hidden() -> tuple[int, Box] | None:
            area_id = self.session.area_of(image_id)
            area = None if area_id is None else self.session.images[area_id].area
            return None if area is None or self.session.labels(area_id or "") is None else (area.t, area.box)

        levels = [ShownLevel(pyramid, level, shown, hidden) for level in range(len(pyramid.levels))]
        classes = None if self._objects() else model.header.output.classes
        metadata = {"image": layer.name, "model": model.header.name, "pyramid": str(pyramid.path), "helper": True}
        made, _ = make_layer(
            layer,
            axes_of(layer),
            levels,
            classes,
            f"{layer.name} labels",
            metadata,
            place=self.image.place_of(image_id),
        )
        made.editable = False
        add_quietly(self.viewer, made)
        return made

    def _of_earlier_panel(self, pyramid: LabelPyramid) -> Labels | None:
        """Return the layer of a pyramid that an earlier panel made."""
        for layer in self.viewer.layers:
            data = layer.data[0] if type(layer).__name__ == "Labels" and layer.multiscale else None
            if isinstance(data, ShownLevel) and data._pyramid is pyramid:
                return layer
        return None

    def _objects(self) -> bool:
        return self.session.key(self.session.need_model()) == ("instances",)

    # ---- keeping in step -----------------------------------------------------------------------

    def sync(self) -> None:
        """Show the labels of the current meaning; those of another model wait, hidden."""
        for (image_id, pyramid), layer in self._layers.items():
            current = self.session.pyramid(image_id) is pyramid
            if layer.visible != current:
                layer.visible = current
            if current and not self._objects():
                layer.colormap = class_colormap(self.session.need_model().header.output.classes)

    def write_provenance(self) -> None:
        """Let every layer carry which model and settings its labels come from."""
        for (image_id, _), layer in self._layers.items():
            origin = self.session.pyramid_origin(image_id)
            if origin.model is not None:
                notes = {"model": origin.model.name, "model_hash": origin.model.weights_hash}
                layer.metadata[METADATA_KEY] = {**layer.metadata[METADATA_KEY], **notes, "settings": origin.settings}

    def _on_written(self, image_id: str, t: int, box: Box) -> None:
        """Show what was written: the first piece at once, those that follow together."""
        layer = self.ensure(image_id)
        if layer is None:
            return
        self._waiting.add(image_id)
        if not self._timer.isActive():
            self._look_again()
            self._timer.start(INTERVAL)

    def _look_again(self) -> None:
        if not self._waiting:
            self._timer.stop()
        for image_id in self._waiting:
            layer = self.current(image_id)
            if layer is not None and layer.visible:
                layer.refresh(extent=False, highlight=False, thumbnail=False)
        self._waiting.clear()

    def _on_area(self, image_id: str) -> None:
        layer = self.current(image_id)
        if layer is not None:
            layer.refresh(extent=False)

    def _on_images(self) -> None:
        for image_id, pyramid in tuple(self._layers):
            if image_id not in self.session.images:
                layer = self._layers.pop((image_id, pyramid))
                if layer in self.viewer.layers:  # its files are gone or belong to other work
                    self.viewer.layers.remove(layer)

    def _on_project(self) -> None:
        """Read from where the files are now, if the project was moved."""
        for (image_id, pyramid), layer in tuple(self._layers.items()):
            if not pyramid.path.is_dir():
                del self._layers[image_id, pyramid]
                if layer in self.viewer.layers:
                    self.viewer.layers.remove(layer)
                self.ensure(image_id)

    def _on_removed(self, event: Any) -> None:
        for (image_id, pyramid), layer in tuple(self._layers.items()):
            if layer is event.value:
                del self._layers[image_id, pyramid]
                self._dismissed.add(image_id)
