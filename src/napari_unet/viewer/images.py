"""Which image the panel works on, and how layers become images of the session."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psygnal import Signal

from napari_unet.errors import AxesError, UserError
from napari_unet.image.source import ImageSource
from napari_unet.viewer.channels import ChannelLayers, same_source
from napari_unet.viewer.image_parts import InParts
from napari_unet.viewer.layers import (
    is_usable,
    read_file_scale,
    remember_axes,
    remember_voxel_size,
    remembered,
    source_of_layers,
)
from napari_unet.viewer.lookup import image_ids

if TYPE_CHECKING:
    from napari import Viewer
    from napari.layers import Image, Layer

    from napari_unet.session.session import Session

WATCHED = ("data", "scale", "translate", "units", "axis_labels")  # what the meaning of a layer depends on


class ImageChoice(InParts):
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
        self._parts = ChannelLayers(viewer, session)
        viewer.layers.selection.events.active.connect(self._on_active)
        viewer.layers.events.inserted.connect(self._on_inserted)
        viewer.layers.events.removed.connect(self._on_removed)
        for layer in viewer.layers:
            self._watch(layer)
        self.follow()
        for layer in self.usable:  # they may have changed while no panel was open
            self.update(layer)

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
        self.settle_level()

    def read(self) -> None:
        """Find out again what the current layer means."""
        self.source, self.problem = (None, None) if self.layer is None else self._describe(self.layer)
        self.changed.emit()

    def _describe(self, layer: Image) -> tuple[ImageSource | None, UserError | None]:
        """Return what a layer means, or why it cannot be used."""
        try:
            return source_of_layers(self.channel_layers(layer), self.channels(layer)), None
        except UserError as error:
            return None, error

    # ---- answers -------------------------------------------------------------------------------

    def answer_axes(self, axes: str) -> None:
        """Remember what the axes of the current layer mean."""
        if self.layer is not None:
            remember_axes(self.layer, axes)
            self.update(self.layer)

    def answer_voxel_size(self, size: tuple[float, float, float] | None) -> None:
        """Remember the voxel size (z, y, x) in µm of the current layer."""
        if self.layer is not None:
            remember_voxel_size(self.layer, size)
            self.update(self.layer)

    def channels(self, layer: Image) -> tuple[int, ...] | None:
        """Return which channels of a layer feed the model; None for all."""
        chosen = remembered(layer).get("channels")
        return None if chosen is None else tuple(chosen)

    def choose_channels(self, channels: tuple[int, ...] | None) -> None:
        """Feed the model with these channels of the current layer, in this order."""
        if self.layer is not None:
            remembered(self.layer)["channels"] = channels
            self.update(self.layer)

    def channel_layers(self, layer: Image) -> list[Image]:
        """Return the layers that are the channels of one image, the layer itself first."""
        return self._parts.of(layer)

    def choose_channel_layers(self, others: list[Image]) -> None:
        """Take further layers as channels of the current one."""
        if self.layer is not None:
            self._parts.choose(self.layer, others)
            self.update(self.layer)

    # ---- in the session ------------------------------------------------------------------------

    def id_of(self, layer: Layer) -> str | None:
        """Return the id of a layer in the session, if it has one."""
        image_id = self._ids.get(layer)
        return image_id if image_id in self.session.images else None

    def layer_of(self, image_id: str) -> Image | None:
        """Return the image layer of an id, if it is still there."""
        image = self.session.images.get(image_id)
        base = image_id if image is None or image.area is None else image.area.parent
        return next((layer for layer in self.usable if self._ids.get(layer) == base), None)

    def need(self) -> str:
        """Return the id of what is worked on, registering the current image first: of a large one its work area.

        Raises
        ------
        UserError
            If there is no image or its axes are unclear.
        """
        base = self.need_base()
        return self.session.area_of(base) or base

    def need_base(self) -> str:
        """Return the id of the current image, registering it first, whether it has a work area or not.

        Raises
        ------
        UserError
            See `need`.
        """
        if self.layer is None:
            raise UserError("There is no image.", "Open one, or drop a file onto the window.")
        if self.problem is not None or self.source is None:
            raise self.problem or UserError("The image cannot be used.")
        image_id = self.id_of(self.layer)
        if image_id is None:
            image_id = self._ids[self.layer] = self.session.add_image(self.source)
        return image_id

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
        for other in self._parts.drop(layer):
            self.update(other)
            sentence = f"The layer '{layer.name}' is gone; '{other.name}' goes on without this channel."
            self.session.events.message.emit("info", sentence, "")
        if layer is self.layer:
            self.layer, self.pinned = None, False
        self.follow()
        if self.layer is None:
            self.read()
        self.changed.emit()

    def _watch(self, layer: Layer) -> None:
        if is_usable(layer):
            for name in WATCHED:
                getattr(layer.events, name).connect(self._on_layer_changed)
            layer.events.name.connect(self._on_renamed)

    def _unwatch(self, layer: Layer) -> None:
        if is_usable(layer):
            for name in WATCHED:
                getattr(layer.events, name).disconnect(self._on_layer_changed)
            layer.events.name.disconnect(self._on_renamed)

    def _on_renamed(self, event: Any = None) -> None:
        self.changed.emit()

    def _on_layer_changed(self, event: Any) -> None:
        """Take over new data or another voxel size, in every image that the layer is a part of."""
        for layer in self._parts.users(event.source):
            self.update(layer, event.type == "data")

    def update(self, layer: Image, new_data: bool = False) -> None:
        """Find out again what a layer means and tell the session; a job that reads old data stops."""
        image_id = self.id_of(layer)
        if image_id is not None and new_data:
            self.session.cancel("segment")
            self.session.cancel("train")
        if layer is self.layer:
            self.read()
        source = self.source if layer is self.layer else self._describe(layer)[0]
        if image_id is not None and source is not None:
            self._replace(layer, image_id, source, new_data)

    def _replace(self, layer: Image, image_id: str, source: ImageSource, new_data: bool = False) -> None:
        """Give the session another source of an image; one of another shape is another image."""
        before = self.session.image(image_id).source
        if same_source(before, source) and not new_data:
            return
        try:
            self.session.replace_image(image_id, source)
        except UserError as error:
            if source.shape != before.shape:
                self._ids.pop(layer, None)
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
