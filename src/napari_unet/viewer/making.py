"""Making the Labels layer of a result: it lies where the image lies and takes nothing from the user."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from napari.layers import Labels
from napari.utils.colormaps import DirectLabelColormap

from napari_unet.model.header import ClassInfo
from napari_unet.viewer.layers import METADATA_KEY
from napari_unet.viewer.levels import Place, placed
from napari_unet.viewer.lookup import bare_viewer

if TYPE_CHECKING:
    from napari import Viewer
    from napari.layers import Image


def make_layer(
    image: Image,
    axes: str,
    array: npt.NDArray[np.unsignedinteger[Any]] | list[Any],
    classes: Sequence[ClassInfo] | None,
    name: str,
    metadata: dict[str, Any],
    visible: bool = True,
    place: Place | None = None,
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
    array : ndarray of unsigned int, or list of array-like
        Labels in the order of `axes` without C; painted in place. A list is a pyramid of levels, in the
        order of the layer's axes with C, and can only be shown.
    classes : sequence of ClassInfo or None
        Fixed colours; None for objects, whose colours follow their ids.
    name : str
        Name of the layer.
    metadata : dict
        Which model, settings and image the labels come from.
    visible : bool
        Whether it is shown at once. To make the picture of a wide layer takes napari long, and it
        does so twice when the layer is made visible.
    place : Place, optional
        Which level and part of the image the labels cover, if not all of the finest level.

    Returns
    -------
    napari.layers.Labels
        Not yet in a viewer.
    str
        Its axes.
    """
    shown = axes[:-1] if image.rgb else axes
    channel = shown.find("C")
    drop_first = channel == 0
    keep = list(range(1 if drop_first else 0, len(shown)))
    scale, translate = placed(image, shown, place or Place())
    data: Any = array
    if channel > 0:
        count = int(np.shape(image.data[0] if image.multiscale else image.data)[channel])
        data = array if isinstance(array, list) else np.expand_dims(array, channel)
        translate[channel] += scale[channel] * (count - 1) / 2
        scale[channel] *= count
    affine = np.array(image.affine.affine_matrix, float)
    rotate, shear = np.array(image.rotate, float), np.array(image.shear, float)
    if drop_first:
        affine, rotate = affine[1:, 1:], rotate[1:, 1:]
        shear = shear[len(shown) - 1 :]
    layer = Labels(
        data,
        multiscale=isinstance(array, list),
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
        visible=visible,
        metadata={METADATA_KEY: metadata},
    )
    return layer, layer_axes(axes, image.rgb)


def layer_axes(axes: str, rgb: bool) -> str:
    """Return the axes of the Labels layer of an image.

    Parameters
    ----------
    axes : str
        Axes of the image's data.
    rgb : bool
        The last axis is colour; napari does not show it as an axis.

    Examples
    --------
    >>> layer_axes("CZYX", False), layer_axes("TCYX", False), layer_axes("YXC", True)
    ('ZYX', 'TCYX', 'YX')
    """
    shown = axes[:-1] if rgb else axes
    return shown[1:] if shown.startswith("C") else shown


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
