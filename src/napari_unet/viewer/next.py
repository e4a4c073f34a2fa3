"""Leading the user to a region: sliders, camera, and a frame around it that nobody can edit and nothing keeps."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from napari.layers import Labels
from napari.utils.colormaps import DirectLabelColormap

from napari_unet.image.boxes import Box
from napari_unet.learning.places import Suggestion
from napari_unet.viewer.images import ImageChoice
from napari_unet.viewer.layers import METADATA_KEY
from napari_unet.viewer.making import add_quietly

if TYPE_CHECKING:
    from napari import Viewer
    from napari.layers import Image

    from napari_unet.viewer.results import ResultLayer
    from napari_unet.viewer.shown import ShownResults

FILLED = 0.6  # share of the canvas that a region fills
DARK, LIGHT = 1, 2
EDGE = 2  # voxels: a dark and a light line around the region


class Guide:
    """Shows the session's suggestion in the viewer.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer itself.
    image : ImageChoice
        Which layer is which image.
    results : ShownResults
        The Labels layers.
    accept : callable
        Accepts a region, (image id, time point, box), and asks first where that is much.
    """

    def __init__(
        self, viewer: Viewer, image: ImageChoice, results: ShownResults, accept: Callable[[str, int, Box], None]
    ) -> None:
        self.viewer, self.image, self.results, self._accept = viewer, image, results, accept
        self.session = image.session
        self.frame: Labels | None = None
        self._framed: Suggestion | None = None
        self.session.events.suggestion_ready.connect(self.jump)
        self.session.events.suggestion_changed.connect(self._on_changed)
        viewer.dims.events.order.connect(self._on_order)
        self._on_changed()

    def close(self) -> None:
        """Stop following and remove the frame."""
        self.session.events.suggestion_ready.disconnect(self.jump)
        self.session.events.suggestion_changed.disconnect(self._on_changed)
        self.viewer.dims.events.order.disconnect(self._on_order)
        self._remove_frame()

    def next_region(self) -> None:
        """Ask the session where to go; `jump` follows, now or when it has found out."""
        self.image.need()
        self.session.next_region()

    def done_region(self) -> None:
        """Take the region as right; it is asked first where that would accept many objects."""
        here = self.session.suggestion
        if here is None or here.kind == "random":
            self.session.done_region()
        else:
            self._accept(here.image_id, here.t, here.box)

    def jump(self, suggestion: Suggestion) -> None:
        """Bring a region on screen, in its image, at its time and plane; selection, tool and mode stay."""
        image_id, layer = suggestion.image_id, self.image.layer_of(suggestion.image_id)
        self.session.enter_area(image_id)
        self.results.expect(image_id)
        result = self.results.ensure(image_id)
        if layer is None or result is None:
            return
        self._turn_to(layer, image_id, result)
        if not self._is_framed():
            self._draw_frame()
        low, high = voxels_of(suggestion, result.axes)
        dims, camera, canvas = self.viewer.dims, self.viewer.scene.camera, self.viewer.canvas
        before = dims.ndim - result.layer.ndim
        middle = np.asarray(result.layer.data_to_world((low + high - 1) // 2), float)
        for axis in dims.not_displayed:
            if axis >= before and result.axes[axis - before] != "C":  # the channel shown is the user's choice
                dims.set_point(axis, float(middle[axis - before]))
        shown = [axis - before for axis in dims.displayed]
        if min(shown) < 0:
            return  # an axis on screen that the image lacks: nothing to zoom to
        corners = [np.where(pick, high - 0.5, low - 0.5) for pick in np.ndindex(*(2,) * len(low))]
        world = np.array([result.layer.data_to_world(corner) for corner in corners])[:, shown]
        camera.center = tuple((world.min(axis=0) + world.max(axis=0)) / 2)
        height_width = np.ptp(world, axis=0)[-2:]
        camera.zoom = float(FILLED * np.min(np.asarray(canvas.viewbox_size(self.viewer.layers)) / height_width))

    def _turn_to(self, layer: Image, image_id: str, result: ResultLayer) -> None:
        """Make an image the one that is worked on; another one is hidden, as a page that is turned."""
        here = self.image.layer
        for shown in (layer, result.layer):
            if not shown.visible:  # napari takes the tool away from a layer that is made visible again
                shown.visible = True
        if layer is here or here is None:
            return
        active = self.viewer.layers.selection.active
        before = None if self.image.image_id is None else self.results.current(self.image.image_id)
        mode = None if before is None else before.layer.mode  # napari forgets it in a layer that is hidden
        here.visible = False
        if before is not None:
            before.layer.visible = False
        if before is not None and active is before.layer:
            self.viewer.layers.selection.active = result.layer
            result.layer.mode = mode
            result.layer.brush_size = before.layer.brush_size
        elif active is here:
            self.viewer.layers.selection.active = layer
        self.image.choose(layer)

    # ---- the frame -----------------------------------------------------------------------------

    def _on_changed(self) -> None:
        if self.session.suggestion is not self._framed or not self._is_framed():
            self._draw_frame()

    def _on_order(self, event: Any = None) -> None:
        self._draw_frame()

    def _is_framed(self) -> bool:
        return self.frame is not None and any(layer is self.frame for layer in self.viewer.layers)

    def _draw_frame(self) -> None:
        self._remove_frame()
        self._framed = suggestion = self.session.suggestion
        result = None if suggestion is None else self.results.ensure(suggestion.image_id)
        if suggestion is None or result is None:
            return
        order = self.viewer.dims.displayed
        before = self.viewer.dims.ndim - len(result.axes)
        sides = "".join(result.axes[axis - before] for axis in order if axis >= before)
        self.frame = _frame_layer(result, *frame_of(suggestion, result.axes, sides))
        add_quietly(self.viewer, self.frame)
        self.frame.editable = False

    def _remove_frame(self) -> None:
        if self._is_framed():
            self.viewer.layers.remove(self.frame)
        self.frame = None


def voxels_of(suggestion: Suggestion, axes: str) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the first voxel of a region and the one after its last, in the axes of a Labels layer."""
    t, (z, y, x) = suggestion.t, suggestion.box
    spans = {"T": slice(t, t + 1), "C": slice(0, 1), "Z": z, "Y": y, "X": x}
    ends = [(spans[letter].start, spans[letter].stop) for letter in axes]
    return np.array([low for low, _ in ends]), np.array([high for _, high in ends])


def frame_of(suggestion: Suggestion, axes: str, sides: str) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Draw a frame around a region: `EDGE` voxels wide, outside the region, along the axes on screen.

    ::

        2 2 2 2 2 2
        2 1 1 1 1 2        2: light, 1: dark, .: the region, clear
        2 1 . . 1 2
        2 1 1 1 1 2
        2 2 2 2 2 2

    Parameters
    ----------
    suggestion : Suggestion
        The region.
    axes : str
        Axes of the labels layer.
    sides : str
        Those of them that are on screen.

    Returns
    -------
    ndarray of uint8
        In the order of `axes`.
    ndarray of int
        The voxel of the Labels layer at which it begins.
    """
    low, high = voxels_of(suggestion, axes)
    margins = np.array([EDGE if letter in sides and letter in "ZYX" else 0 for letter in axes])
    data = np.full(high - low + 2 * margins, LIGHT, np.uint8)
    for inset, value in ((1, DARK), (EDGE, 0)):
        data[tuple(slice(inset, -inset) if margin else slice(None) for margin in margins)] = value
    return data, low - margins


def _frame_layer(result: ResultLayer, data: npt.NDArray[np.uint8], start: npt.NDArray[np.int64]) -> Labels:
    """Make the layer of a frame, which lies in the world where its voxels lie in a Labels layer."""
    base = result.layer
    origin = np.asarray(base.data_to_world(start), float)
    affine = np.eye(base.ndim + 1)
    affine[:-1, -1] = origin
    for axis, unit in enumerate(np.eye(base.ndim)):
        affine[:-1, axis] = np.asarray(base.data_to_world(start + unit), float) - origin
    colors: dict[int | None, Any] = {None: "transparent", 0: "transparent", DARK: "#101010", LIGHT: "#fafafa"}
    return Labels(
        data,
        name="region",
        affine=affine,
        units=base.units,
        axis_labels=base.axis_labels,
        colormap=DirectLabelColormap(color_dict=colors),
        opacity=1.0,
        metadata={METADATA_KEY: {"helper": True}},
    )
