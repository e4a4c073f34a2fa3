"""What of an image is on screen, in the image's own voxels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_unet.errors import UserError
from napari_unet.image.boxes import Box
from napari_unet.image.source import ImageSource
from napari_unet.viewer.layers import axes_of
from napari_unet.viewer.levels import factors

if TYPE_CHECKING:
    from napari import Viewer
    from napari.layers import Image

Floats = npt.NDArray[np.float64]


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
    axes, here, displayed = _place(viewer, layer, source.level)
    if layer.multiscale and viewer.dims.ndisplay == 2:
        corners, beyond = _seen_corners(viewer, layer, source.level)
    else:
        corners = np.array(layer.corner_pixels, float)
        # napari clips the corners to the image: beyond its edge the two are the same voxel.
        beyond = (corners[0] == corners[1]) & (np.array(_level(layer).shape[: layer.ndim]) > 1)
        corners = _at_level(layer, corners, layer.data_level, source.level)
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
    _, _, displayed = _place(viewer, layer, source.level)
    if not displayed <= set("ZYX"):
        raise UserError("A slice is one plane of space; an axis on screen is not space.", "Show two of Z, Y and X.")
    z, y, x = (
        slice(0, length) if letter in displayed else span
        for letter, length, span in zip("ZYX", source.shape[1:], view, strict=True)
    )
    return t, (z, y, x)


def _place(viewer: Viewer, layer: Image, level: int) -> tuple[str, dict[str, int], set[str]]:
    """Return the axes of a layer without colours, the voxel that the sliders stand at, and the axes on screen."""
    axes = axes_of(layer)
    axes = axes[:-1] if layer.rgb else axes
    point = _at_level(layer, np.asarray(layer.world_to_data(viewer.dims.point), float), 0, level)
    point = np.round(point).astype(int)
    before = viewer.dims.ndim - layer.ndim
    displayed = {axes[axis - before] for axis in viewer.dims.displayed if axis >= before}
    return axes, {letter: int(value) for letter, value in zip(axes, point, strict=True)}, displayed


def _seen_corners(viewer: Viewer, layer: Image, level: int) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Return the first and last voxel of a level within the window, and along which axes the image lies beyond it.

    The corners that napari keeps for a multiscale layer say what was read, which is more than what is seen.
    """
    camera, shown = viewer.scene.camera, viewer.dims.displayed
    half = np.asarray(viewer.canvas.viewbox_size(viewer.layers), float)[-2:] / camera.zoom / 2
    centre = np.asarray(camera.center, float)[-2:]
    found = []
    for signs in ((-1, -1), (-1, 1), (1, -1), (1, 1)):
        world = np.array(viewer.dims.point, float)
        world[list(shown)] = centre + np.array(signs) * half
        found.append(np.asarray(layer.world_to_data(world), float))
    corners = _at_level(layer, np.array([np.min(found, axis=0), np.max(found, axis=0)]), 0, level)
    last = np.array(layer.level_shapes[level][: layer.ndim]) - 1
    beyond = (corners[1] < -0.5) | (corners[0] > last + 0.5)
    return np.clip(corners, 0, last), beyond


def _at_level(layer: Image, voxels: Floats, before: int, after: int) -> Floats:
    """Return where voxels of one level of a layer lie in another one."""
    if before == after:
        return voxels
    at: Floats = (voxels + 0.5) * factors(layer, before) / factors(layer, after) - 0.5
    return at


def _level(layer: Image) -> Any:
    return layer.data[layer.data_level] if layer.multiscale else layer.data
