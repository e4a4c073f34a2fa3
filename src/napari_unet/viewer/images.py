"""Which image the panel works on, and how layers become images of the session."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psygnal import Signal

from napari_unet.errors import AxesError, UserError
from napari_unet.image.boxes import Box
from napari_unet.image.source import ImageSource
from napari_unet.viewer.layers import (
    is_usable,
    read_file_scale,
    remember_axes,
    remember_voxel_size,
    remembered,
    source_of_layers,
)
from napari_unet.viewer.lookup import image_ids
from napari_unet.viewer.onscreen import plane_of, view_of

if TYPE_CHECKING:
    from napari import Viewer
    from napari.layers import Image, Layer

    from napari_unet.session.session import Session


class ImageChoice:
    """Follows the selected image layer, unless it is pinned.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer itself, not the plugin proxy.
    session : Session
        Where images are registered once a command needs them.

    Attributes
    ----------
    layer : napari.layers.Image or None
        The current image.
    source : ImageSource or None
        What it means; None while `problem` is not None.
    problem : UserError or None
        Why it cannot be used; an `AxesError` is a question to the user.
    pinned : bool
        Stay with the current image when another layer is selected.
    """

    changed = Signal()

    def __init__(self, viewer: Viewer, session: Session) -> None:
        self.viewer, self.session = viewer, session
        self.layer: Image | None = None
        self.source: ImageSource | None = None
        self.problem: UserError | None = None
        self.pinned = False
        self._ids = image_ids(session)
        viewer.layers.selection.events.active.connect(self._on_active)
        viewer.layers.events.inserted.connect(self._on_inserted)
        viewer.layers.events.removed.connect(self._on_removed)
        for layer in viewer.layers:
            self._watch(layer)
        self.follow()

    def close(self) -> None:
        """Stop following."""
        self.viewer.layers.selection.events.active.disconnect(self._on_active)
        self.viewer.layers.events.inserted.disconnect(self._on_inserted)
        self.viewer.layers.events.removed.disconnect(self._on_removed)
        for layer in self.viewer.layers:
            self._unwatch(layer)

    # ---- choosing ------------------------------------------------------------------------------

    @property
    def usable(self) -> list[Image]:
        """The image layers of the viewer."""
        return [layer for layer in self.viewer.layers if is_usable(layer)]

    def follow(self) -> None:
        """Take the selected image layer, else keep the current one, else take the topmost."""
        active = self.viewer.layers.selection.active
        if not self.pinned and active is not None and is_usable(active):
            self.choose(active)
        elif self.layer is None or self.layer not in self.viewer.layers:
            usable = self.usable
            self.choose(usable[-1] if usable else None)

    def choose(self, layer: Image | None) -> None:
        """Work on a layer."""
        if layer is self.layer and layer is not None:
            return
        self.layer = layer
        if layer is not None:
            read_file_scale(layer)
        self.read()

    def read(self) -> None:
        """Find out again what the current layer means."""
        self.source, self.problem = None, None
        if self.layer is not None:
            try:
                self.source = source_of_layers(self.channel_layers(self.layer), self.channels(self.layer))
            except UserError as error:
                self.problem = error
        self.changed.emit()

    # ---- answers -------------------------------------------------------------------------------

    def answer_axes(self, axes: str) -> None:
        """Remember what the axes of the current layer mean."""
        if self.layer is not None:
            remember_axes(self.layer, axes)
            self._reread()

    def answer_voxel_size(self, size: tuple[float, float, float] | None) -> None:
        """Remember the voxel size (z, y, x) in µm of the current layer."""
        if self.layer is not None:
            remember_voxel_size(self.layer, size)
            self._reread()

    def channels(self, layer: Image) -> tuple[int, ...] | None:
        """Return which channels of a layer feed the model; None for all."""
        chosen = remembered(layer).get("channels")
        return None if chosen is None else tuple(chosen)

    def choose_channels(self, channels: tuple[int, ...] | None) -> None:
        """Feed the model with these channels of the current layer, in this order."""
        if self.layer is not None:
            remembered(self.layer)["channels"] = channels
            self._reread()

    def channel_layers(self, layer: Image) -> list[Image]:
        """Return the layers that are the channels of one image, the layer itself first."""
        names = remembered(layer).get("channel_layers", ())
        more = [other for other in self.usable if other.name in names and other is not layer]
        return [layer, *more]

    def choose_channel_layers(self, others: list[Image]) -> None:
        """Take further layers as channels of the current one."""
        if self.layer is not None:
            remembered(self.layer)["channel_layers"] = [other.name for other in others]
            self._reread()

    # ---- in the session ------------------------------------------------------------------------

    @property
    def image_id(self) -> str | None:
        """Id of the current image in the session, if a command needed it before."""
        return None if self.layer is None else self.id_of(self.layer)

    def id_of(self, layer: Layer) -> str | None:
        """Return the id of a layer in the session, if it has one."""
        image_id = self._ids.get(layer)
        return image_id if image_id in self.session.images else None

    def layer_of(self, image_id: str) -> Image | None:
        """Return the image layer of an id, if it is still there."""
        return next((layer for layer in self.usable if self._ids.get(layer) == image_id), None)

    def need(self) -> str:
        """Return the id of the current image, registering it first.

        Raises
        ------
        UserError
            If there is no image or its axes are unclear.
        """
        if self.layer is None:
            raise UserError("There is no image.", "Open one, or drop a file onto the window.")
        if self.problem is not None or self.source is None:
            raise self.problem or UserError("The image cannot be used.")
        image_id = self.id_of(self.layer)
        if image_id is None:
            image_id = self._ids[self.layer] = self.session.add_image(self.source)
        return image_id

    # ---- what is on screen ---------------------------------------------------------------------

    def view(self) -> tuple[int, Box | None]:
        """Return the time point and the (z, y, x) box on screen; None where the image is not on screen."""
        if self.layer is None or self.source is None:
            return 0, None
        return view_of(self.viewer, self.layer, self.source)

    def plane(self) -> tuple[int, Box]:
        """Return the time point and the (z, y, x) box of the plane that is shown.

        Raises
        ------
        UserError
            If the image is not on screen, or not as one plane of space.
        """
        if self.layer is None or self.source is None:
            raise UserError("The image is not on screen.", "Move it into view first.")
        return plane_of(self.viewer, self.layer, self.source)

    # ---- events --------------------------------------------------------------------------------

    def _on_active(self, event: Any = None) -> None:
        active = self.viewer.layers.selection.active
        if not self.pinned and active is not None and is_usable(active):
            self.choose(active)

    def _on_inserted(self, event: Any) -> None:
        self._watch(event.value)
        self.follow()
        self.changed.emit()

    def _on_removed(self, event: Any) -> None:
        layer = event.value
        self._unwatch(layer)
        image_id = self._ids.pop(layer, None)
        if image_id in self.session.images:
            self.session.remove_image(image_id)
        if layer is self.layer:
            self.layer, self.pinned = None, False
        self.follow()
        if self.layer is None:
            self.read()
        self.changed.emit()

    def _watch(self, layer: Layer) -> None:
        if is_usable(layer):
            for event in (layer.events.data, layer.events.scale, layer.events.units, layer.events.axis_labels):
                event.connect(self._on_layer_changed)
            layer.events.name.connect(self._on_renamed)

    def _unwatch(self, layer: Layer) -> None:
        if is_usable(layer):
            for event in (layer.events.data, layer.events.scale, layer.events.units, layer.events.axis_labels):
                event.disconnect(self._on_layer_changed)
            layer.events.name.disconnect(self._on_renamed)

    def _on_renamed(self, event: Any = None) -> None:
        self.changed.emit()

    def _on_layer_changed(self, event: Any) -> None:
        """Take over new data or another voxel size; a job that reads the old data stops."""
        layer = event.source
        image_id = self._ids.get(layer)
        if image_id in self.session.images and event.type == "data":
            self.session.cancel("segment")
            self.session.cancel("train")
        if layer is self.layer:
            self._reread()
        elif image_id in self.session.images:
            self._ids.pop(layer)

    def _reread(self) -> None:
        self.read()
        image_id = self.image_id
        if image_id is None or self.source is None or self.layer is None:
            return
        try:
            self.session.replace_image(image_id, self.source)
        except UserError as error:
            self._ids.pop(self.layer, None)
            self.session.events.message.emit("info", str(error), "")
        self.changed.emit()


def question_of(problem: UserError | None) -> tuple[str, ...]:
    """Return the axes to offer, if a problem is a question about axes.

    Parameters
    ----------
    problem : UserError or None
        See `ImageChoice.problem`.
    """
    return problem.candidates if isinstance(problem, AxesError) else ()
