"""How wide an object is, from what the user draws over it in a Shapes layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_unet.errors import UserError

if TYPE_CHECKING:
    from napari import Viewer
    from napari.layers import Image, Shapes

HOW = "Draw a line across an object, or an ellipse or polygon around it, in a Shapes layer, and select that layer."


def drawn_diameter(viewer: Viewer, image: Image, axes: str) -> float:
    """Return how wide the object is over which something is drawn.

    Parameters
    ----------
    viewer : napari.Viewer
        Its selected layer holds the drawing; the shape that is selected counts, else the one that was drawn last.
    image : napari.layers.Image
        In whose pixels the width is told.
    axes : str
        One letter of T, C, Z, Y, X per dimension of the layer.

    Returns
    -------
    float
        Length of a line; of everything else the diameter of the disc of the same area, an ellipse's for a rectangle.

    Raises
    ------
    UserError
        If nothing is drawn, or it has no extent.
    """
    from napari.layers import Shapes  # only once something is to be measured

    layer = viewer.layers.selection.active
    if not isinstance(layer, Shapes) or not layer.nshapes:
        raise UserError("There is no drawing to measure.", HOW)
    chosen = max(layer.selected_data) if layer.selected_data else layer.nshapes - 1
    corners = in_pixels(layer, np.asarray(layer.data[chosen]), image, axes)
    width = _width(corners, str(layer.shape_type[chosen]))
    if not width > 0:
        raise UserError("The drawing has no extent in the plane of the image.", HOW)
    return width


def in_pixels(layer: Shapes, corners: npt.NDArray[Any], image: Image, axes: str) -> npt.NDArray[np.float64]:
    """Return the corners of a shape, (n, 2), as (y, x) in pixels of an image."""
    places = [axes.index("Y"), axes.index("X")]
    points = []
    for corner in corners:
        world = np.asarray(layer.data_to_world(corner), float)
        missing = image.ndim - world.size
        point = np.asarray(image.world_to_data(np.concatenate([np.zeros(max(0, missing)), world])), float)
        points.append(point[places])
    return np.asarray(points)


def _width(corners: npt.NDArray[np.float64], kind: str) -> float:
    if kind in ("line", "path"):
        return float(np.linalg.norm(np.diff(corners, axis=0), axis=1).sum())
    area = _area(corners)
    # Rectangle and ellipse are given by four corners; the ellipse fills π / 4 of it.
    return float(np.sqrt(area)) if kind in ("rectangle", "ellipse") else float(2 * np.sqrt(area / np.pi))


def _area(corners: Sequence[Any]) -> float:
    """Return the area of a polygon by the shoelace formula."""
    y, x = np.asarray(corners, float).T
    return float(abs(np.dot(y, np.roll(x, 1)) - np.dot(x, np.roll(y, 1))) / 2)
