"""The Labels layer of a result: where it lies, how a region of it is shown, and whose undo it has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from napari.layers import Labels
from napari.utils.colormaps import DirectLabelColormap
from qtpy.QtCore import QTimer

from napari_unet.image.axes import canonical_view
from napari_unet.model.header import ClassInfo
from napari_unet.viewer.layers import METADATA_KEY
from napari_unet.viewer.lookup import bare_viewer
from napari_unet.viewer.sweep import Box, Sweep

if TYPE_CHECKING:
    from napari import Viewer
    from napari.layers import Image

Place = tuple[int, tuple[slice, slice, slice]]
REFRESH_INTERVAL = 500  # ms between two refreshes of a layer that cannot be refreshed in part


class ResultLayer:
    """One Labels layer that shows, and paints into, the labels array of a session.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the layer is shown.
    layer : napari.layers.Labels
        See `make_layer`; its data shares memory with the session's array.
    axes : str
        Axes of the layer's data; C where the image has its channels in the middle (length 1).
    """

    def __init__(self, viewer: Viewer, layer: Labels, axes: str) -> None:
        self.viewer, self.layer, self.axes = viewer, layer, axes
        self.writable = True
        self._late = QTimer()
        self._late.setSingleShot(True)
        self._late.timeout.connect(self._refresh_now)

    @property
    def alive(self) -> bool:
        """Whether the layer is still in the viewer."""
        return any(layer is self.layer for layer in bare_viewer(self.viewer).layers)

    def holds(self, array: npt.NDArray[Any]) -> bool:
        """Tell whether the layer still shows an array: nobody gave it other data."""
        return isinstance(self.layer.data, np.ndarray) and np.shares_memory(self.layer.data, array)

    def close(self) -> None:
        """Stop what is scheduled."""
        self._late.stop()

    # ---- places --------------------------------------------------------------------------------

    def key(self, t: int, box: Sequence[slice]) -> Box:
        """Return the slices of the layer's data for a (z, y, x) box of a time point."""
        spans = {"T": slice(t, t + 1), "C": slice(0, 1), **dict(zip("ZYX", box, strict=True))}
        return tuple(spans[letter] for letter in self.axes)

    def places(self, swept: Sweep) -> list[tuple[Place, npt.NDArray[np.bool_]]]:
        """Return what was swept as ((t, box), mask of (Z, Y, X)), one per time point."""
        spans = dict(zip(self.axes, swept.box, strict=True))
        mask = swept.mask
        if "C" in self.axes:
            mask = mask.take(0, self.axes.index("C"))
        times = spans.get("T", slice(0, 1))
        box = (spans.get("Z", slice(0, 1)), spans["Y"], spans["X"])
        canonical = canonical_view(mask, self.axes.replace("C", ""))
        return [((t, box), canonical[t - times.start]) for t in range(times.start, times.stop)]

    def point(self, world: Sequence[float]) -> tuple[int, tuple[int, int, int]] | None:
        """Return the voxel (t, (z, y, x)) at a place in the world, or None outside the image."""
        voxel = np.round(np.asarray(self.layer.world_to_data(world))).astype(int)
        if np.any(voxel < 0) or np.any(voxel >= self.layer.data.shape):
            return None
        at = dict(zip(self.axes, (int(v) for v in voxel), strict=True))
        return at.get("T", 0), (at.get("Z", 0), at["Y"], at["X"])

    def painted_axes(self) -> tuple[int, ...]:
        """Return the axes that napari's tools paint across now: the last ones of the viewer's order."""
        return self._order()[-self.layer.n_edit_dimensions :]

    def displayed_axes(self) -> tuple[int, ...]:
        """Return the axes of the layer on screen, in the order of the screen; -1 for one it lacks."""
        order = self.viewer.dims.order[-self.viewer.dims.ndisplay :]
        before = self.viewer.dims.ndim - self.layer.ndim
        return tuple(axis - before if axis >= before else -1 for axis in order)

    def most_dimensions(self) -> int:
        """Return over how many axes a tool may paint without leaving space; 0 while none may.

        ::

            order T Z Y X → 3      order Z T Y X → 2      order Z Y X T → 0
        """
        spatial = 0
        for axis in reversed(self._order()):
            if self.axes[axis] not in "ZYX":
                break
            spatial += 1
        return spatial if spatial >= self.viewer.dims.ndisplay else 0

    def _order(self) -> tuple[int, ...]:
        before = self.viewer.dims.ndim - self.layer.ndim
        return tuple(axis - before for axis in self.viewer.dims.order if axis >= before)

    # ---- showing -------------------------------------------------------------------------------

    def show(self, t: int, box: Sequence[slice]) -> None:
        """Show what was written into a box of the labels array; nothing where it is not on screen."""
        if self.layer.visible and self.alive and not show_region(self.viewer, self.layer, self.key(t, box)):
            if not self._late.isActive():
                self._late.start(REFRESH_INTERVAL)

    def _refresh_now(self) -> None:
        if self.alive:
            self.layer.refresh(extent=False, highlight=False)

    # ---- history and clamp ---------------------------------------------------------------------

    def forget_strokes(self) -> None:
        """Empty napari's own undo stack, so that it can never bring old values back.

        The public way is to make the layer uneditable for a moment; tool and mode stay.
        """
        if not self.layer.editable:
            return
        mode = self.layer.mode
        self.layer.editable = False
        self.layer.editable = True
        self.layer.mode = mode

    def clamp(self, wanted: int) -> bool:
        """Keep the tools within space; return whether painting is possible in this view.

        Parameters
        ----------
        wanted : int
            Axes to paint across, as the model has: 2 or 3.
        """
        most = self.most_dimensions() if self.writable else 0
        if most < 2:
            self.layer.editable = False
            return False
        if not self.layer.editable:
            self.layer.editable = True
        if self.layer.n_edit_dimensions != min(wanted, most):
            self.layer.n_edit_dimensions = min(wanted, most)
        return True


def show_region(viewer: Viewer, layer: Labels, key: Box) -> bool:
    """Send one region of a layer's data to the screen.

    ``layer.refresh()`` maps and uploads the whole slice: 4 ms for 4096² 16-bit labels, but 65 ms for
    32-bit ones. The layer's ``labels_update`` event uploads only a region.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the layer is shown.
    layer : napari.layers.Labels
        The layer; the region was written into its data.
    key : tuple of slice
        The region, one slice per axis of the layer.

    Returns
    -------
    bool
        False if the layer cannot be refreshed in part and needs ``refresh()``.
    """
    data = layer.data
    before = viewer.dims.ndim - layer.ndim
    displayed = [axis - before for axis in viewer.dims.order[-viewer.dims.ndisplay :]]
    thick = any(a or b for a, b in zip(viewer.dims.margin_left, viewer.dims.margin_right, strict=True))
    if min(displayed) < 0 or layer.contour or thick or not isinstance(data, np.ndarray):
        return False
    here = np.round(np.asarray(layer.world_to_data(viewer.dims.point))).astype(int)
    hidden = [axis for axis in range(layer.ndim) if axis not in displayed]
    if any(not key[axis].start <= here[axis] < key[axis].stop for axis in hidden):
        return True
    part = tuple(key[axis] if axis in displayed else int(here[axis]) for axis in range(layer.ndim))
    shown = tuple(key[axis] for axis in displayed)
    values = data[part].transpose([sorted(displayed).index(axis) for axis in displayed])
    if data.dtype.itemsize > 2:
        texture = _texture(layer, values, shown)
        if texture is None:
            return False
        values = texture
    layer.events.labels_update(data=values, offset=[part.start for part in shown])
    return True


def _texture(layer: Labels, values: npt.NDArray[Any], shown: Box) -> npt.NDArray[Any] | None:
    """Map wide labels to what the graphics card gets, and keep napari's copy of it current.

    napari has no public way to do this for a region: labels of up to 16 bits are shown as they are,
    wider ones through a mapped copy of the slice. This is the only private access of the plugin;
    where it fails, the caller falls back to a full refresh.
    """
    try:
        view = layer._slice.image.view
        mapped = layer.colormap._data_to_texture(values)
    except AttributeError:
        return None
    if view.ndim != values.ndim or any(part.stop > n for part, n in zip(shown, view.shape, strict=True)):
        return None
    view[shown] = mapped
    return np.asarray(mapped)


def make_layer(
    image: Image,
    axes: str,
    array: npt.NDArray[np.unsignedinteger[Any]],
    classes: Sequence[ClassInfo] | None,
    name: str,
    metadata: dict[str, Any],
) -> tuple[Labels, str]:
    """Make the Labels layer of an image, lying where the image lies.

    ::

        image  T  C  Z  Y  X        channels in the middle: a C axis of length 1, as thick
        labels T  1  Z  Y  X        as all channels, so that it shows at each of them

    Parameters
    ----------
    image : napari.layers.Image
        Scale, translation, rotation, shear, affine, units and axis labels are copied from it.
    axes : str
        Axes of the image's data.
    array : ndarray of unsigned int
        Labels in the order of `axes` without C; painted in place.
    classes : sequence of ClassInfo or None
        Fixed colours; None for objects, whose colours follow their ids.
    name : str
        Name of the layer.
    metadata : dict
        Which model, settings and image the labels come from.

    Returns
    -------
    napari.layers.Labels
        Not yet in a viewer.
    str
        Its axes.
    """
    shown = axes[:-1] if image.rgb else axes
    channel = shown.find("C")
    keep = [i for i in range(len(shown)) if channel != 0 or i != 0]
    drop_first = channel == 0
    scale, translate = np.array(image.scale, float), np.array(image.translate, float)
    data: npt.NDArray[Any] = array
    if channel > 0:
        count = int(np.shape(image.data[0] if image.multiscale else image.data)[channel])
        data = np.expand_dims(array, channel)
        translate[channel] += scale[channel] * (count - 1) / 2
        scale[channel] *= count
    affine = np.array(image.affine.affine_matrix, float)
    rotate, shear = np.array(image.rotate, float), np.array(image.shear, float)
    if drop_first:
        affine, rotate = affine[1:, 1:], rotate[1:, 1:]
        shear = shear[len(shown) - 1 :]
    layer = Labels(
        data,
        name=name,
        scale=scale[keep],
        translate=translate[keep],
        rotate=rotate,
        shear=shear if shear.size else None,
        affine=affine,
        units=[image.units[i] for i in keep],
        axis_labels=[image.axis_labels[i] for i in keep],
        colormap=None if classes is None else class_colormap(classes),
        opacity=0.5,
        metadata={METADATA_KEY: metadata},
    )
    return layer, "".join(shown[i] for i in keep)


def class_colormap(classes: Sequence[ClassInfo]) -> DirectLabelColormap:
    """Return the fixed colours of classes; the background is clear.

    Parameters
    ----------
    classes : sequence of ClassInfo
        The background first.
    """
    colors: dict[int | None, Any] = {None: "#ff00ff", 0: "transparent"}
    colors.update({value: info.color for value, info in enumerate(classes) if value})
    return DirectLabelColormap(color_dict=colors)


def add_quietly(viewer: Viewer, layer: Any) -> None:
    """Add a layer without taking the selection, the tool or the place in the image from the user.

    Parameters
    ----------
    viewer : napari.Viewer
        Where to.
    layer : napari layer
        What.
    """
    layers = bare_viewer(viewer).layers
    selected, active = set(layers.selection), layers.selection.active
    modes = [(other, other.mode) for other in layers]
    point = viewer.dims.point
    layers.append(layer)
    layers.selection.clear()
    layers.selection.update(other for other in selected if other in layers)
    layers.selection.active = active
    for other, mode in modes:
        if other.mode != mode:
            other.mode = mode
    if len(point) == viewer.dims.ndim and tuple(viewer.dims.point) != tuple(point):
        viewer.dims.point = point
