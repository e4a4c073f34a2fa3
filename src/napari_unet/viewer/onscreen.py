"""What of an image is on screen, in the image's own voxels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.errors import UserError
from napari_unet.image.boxes import Box
from napari_unet.image.source import ImageSource
from napari_unet.viewer.layers import axes_of

if TYPE_CHECKING:
    from napari import Viewer
    from napari.layers import Image


def view_of(viewer: Viewer, layer: Image, source: ImageSource) -> tuple[int, Box | None]:
    """Return the time point and the (z, y, x) box on screen.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer itself.
    layer : napari.layers.Image
        One of its layers.
    source : ImageSource
        What the layer means.

    Returns
    -------
    int
        Time point.
    tuple of slice or None
        None where the image is not on screen.
    """
    axes, here, displayed = _place(viewer, layer)
    corners = np.array(layer.corner_pixels, float)
    # napari clips the corners to the image: beyond its edge the two are the same voxel.
    beyond = (corners[0] == corners[1]) & (np.array(_level(layer).shape[: layer.ndim]) > 1)
    if layer.multiscale:
        corners = corners * np.asarray(layer.downsample_factors)[layer.data_level]
    lengths = dict(zip("TZYX", source.shape, strict=True))
    spans: dict[str, slice] = {}
    for index, letter in enumerate(axes):
        if letter == "C":
            continue
        first, last = corners[:, index] if letter in displayed else (here[letter], here[letter])
        low, high = max(int(np.floor(first)), 0), min(int(np.ceil(last)) + 1, lengths[letter])
        if low >= high or (letter in displayed and beyond[index]):
            return min(max(here.get("T", 0), 0), lengths["T"] - 1), None
        spans[letter] = slice(low, high)
    return spans.get("T", slice(0, 1)).start, (spans.get("Z", slice(0, 1)), spans["Y"], spans["X"])


def plane_of(viewer: Viewer, layer: Image, source: ImageSource) -> tuple[int, Box]:
    """Return the time point and the (z, y, x) box of the whole plane that is shown, also beyond the window.

    Parameters
    ----------
    viewer, layer, source
        See `view_of`.

    Raises
    ------
    UserError
        If the image is not on screen, or if it is not one plane of space that is shown.
    """
    if viewer.dims.ndisplay != 2:
        raise UserError("A slice is one plane; the view shows three dimensions.", "Switch to the 2D view first.")
    t, view = view_of(viewer, layer, source)
    if view is None:
        raise UserError("The image is not on screen.", "Move it into view first.")
    _, _, displayed = _place(viewer, layer)
    if not displayed <= set("ZYX"):
        raise UserError("A slice is one plane of space; an axis on screen is not space.", "Show two of Z, Y and X.")
    z, y, x = (
        slice(0, length) if letter in displayed else span
        for letter, length, span in zip("ZYX", source.shape[1:], view, strict=True)
    )
    return t, (z, y, x)


def _place(viewer: Viewer, layer: Image) -> tuple[str, dict[str, int], set[str]]:
    """Return the axes of a layer without colours, the voxel that the sliders stand at, and the axes on screen."""
    axes = axes_of(layer)
    axes = axes[:-1] if layer.rgb else axes
    point = np.round(np.asarray(layer.world_to_data(viewer.dims.point))).astype(int)
    before = viewer.dims.ndim - layer.ndim
    displayed = {axes[axis - before] for axis in viewer.dims.displayed if axis >= before}
    return axes, {letter: int(value) for letter, value in zip(axes, point, strict=True)}, displayed


def _level(layer: Image) -> Any:
    return layer.data[layer.data_level] if layer.multiscale else layer.data
