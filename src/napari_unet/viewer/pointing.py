"""From what the user points at or draws on the canvas to voxels of an image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_unet.errors import UserError
from napari_unet.image.boxes import Box, clip
from napari_unet.viewer.drags import first_hit
from napari_unet.viewer.results import ResultLayer
from napari_unet.viewer.sketch import Place

if TYPE_CHECKING:
    from napari import Viewer

Voxel = tuple[int, int, int]
MOST_RAYS = 24  # along a line drawn in 3D


@dataclass(frozen=True, eq=False)
class Line:
    """A line over one time point, in voxels; see `Truth.split_along`."""

    t: int
    path: npt.NDArray[np.float64]
    direction: tuple[float, float, float]
    point: Voxel | None


def pointed(viewer: Viewer, result: ResultLayer) -> tuple[int, Voxel]:
    """Return the voxel (t, (z, y, x)) under the pointer; in 3D the first object along the line of sight.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer itself.
    result : ResultLayer
        The labels.

    Raises
    ------
    UserError
        If the pointer is not over the image or, in 3D, over no object.
    """
    toward = None
    if viewer.dims.ndisplay == 3:
        dims = viewer.dims
        toward = np.asarray(viewer.scene.camera.calculate_nd_view_direction(dims.ndim, dims.displayed), float)
    return voxel_at(viewer, result, Place(tuple(viewer.cursor.position), toward, (0.0, 0.0)))


def voxel_at(viewer: Viewer, result: ResultLayer, place: Place) -> tuple[int, Voxel]:
    """Return the voxel (t, (z, y, x)) at a place on the canvas; see `pointed`."""
    if place.toward is not None:
        hit = first_hit(result.layer, place.world, place.toward, viewer.dims.displayed)
        if hit is None:
            raise UserError("There is no object at this place.", "Point at an object.")
        at = dict(zip(result.axes, (round(v) for v in hit), strict=True))
        return at.get("T", 0), (at.get("Z", 0), at["Y"], at["X"])
    found = result.point(place.world)
    if found is None:
        raise UserError("The pointer is outside the image.", "Point at an object.")
    return found


def drawn_line(viewer: Viewer, result: ResultLayer, places: Sequence[Place]) -> Line:
    """Return a drawn line in voxels, and along which direction it was seen.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer itself.
    result : ResultLayer
        The labels.
    places : sequence of Place
        Where the pointer went.
    """
    letters = _space_on_screen(result)
    data = np.asarray([result.layer.world_to_data(place.world) for place in places], float)
    columns = {letter: data[:, index] for index, letter in enumerate(result.axes)}
    t = round(float(columns["T"][0])) if "T" in columns else 0
    nothing = np.zeros(len(places))
    path = np.stack([columns.get(letter, nothing) for letter in "ZYX"], axis=1)
    toward = places[0].toward
    if toward is None:
        hidden = next(letter for letter in "ZYX" if letter not in letters)
        path[:, "ZYX".index(hidden)] = np.round(path[:, "ZYX".index(hidden)])
        direction = [float(letter == hidden) for letter in "ZYX"]
        return Line(t, path, (direction[0], direction[1], direction[2]), None)
    ahead = np.asarray(result.layer.world_to_data(np.asarray(places[0].world) + toward), float) - data[0]
    along = dict(zip(result.axes, ahead, strict=True))
    return Line(t, path, (along.get("Z", 0.0), along["Y"], along["X"]), _most_hit(viewer, result, places))


def drawn_region(
    viewer: Viewer, result: ResultLayer, places: Sequence[Place]
) -> tuple[int, Box, npt.NDArray[np.bool_] | None]:
    """Return what lies in the rectangle between the first and the last place of a drag.

    ::

        ┌──────┐ the rectangle on screen; in a rotated layer the box around it is larger,
        │ ╱╲   │ and the mask says which of its voxels lie in the rectangle
        └──────┘

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer itself.
    result : ResultLayer
        The labels.
    places : sequence of Place
        Where the pointer went.

    Returns
    -------
    int
        Time point.
    tuple of slice
        (z, y, x) box.
    ndarray of bool or None
        Which voxels of the box; None for all.

    Raises
    ------
    UserError
        If the view shows more than a plane, or the rectangle lies outside the image.
    """
    if places[0].toward is not None:
        raise UserError("A region is drawn on one plane; the view shows three dimensions.", "Switch to the 2D view.")
    letters = _space_on_screen(result)
    ends = np.sort(np.asarray([places[0].world, places[-1].world], float), axis=0)
    corners = []
    for upper in np.ndindex(2, 2):
        corner = ends[0].copy()
        for axis, end in zip(viewer.dims.displayed, upper, strict=True):
            corner[axis] = ends[end][axis]
        corners.append(result.layer.world_to_data(corner))
    data = np.asarray(corners, float)
    low, high = np.round(data.min(axis=0)).astype(int), np.round(data.max(axis=0)).astype(int) + 1
    spans = {letter: slice(int(a), int(b)) for letter, a, b in zip(result.axes, low, high, strict=True)}
    shape = dict(zip(result.axes, result.layer.data.shape, strict=True))
    z, y, x = clip([spans.get(letter, slice(0, 1)) for letter in "ZYX"], [shape.get(letter, 1) for letter in "ZYX"])
    t = spans.get("T", slice(0, 1)).start
    if any(part.start >= part.stop for part in (z, y, x)) or not 0 <= t < shape.get("T", 1) or len(letters) < 2:
        raise UserError("The rectangle lies outside the image.", "Draw it over the image.")
    straight = all(np.any(np.isclose(corner, (data.min(0), data.max(0))), axis=0).all() for corner in data)
    return t, (z, y, x), None if straight else _within(viewer, result, (t, (z, y, x)), ends)


def _within(
    viewer: Viewer, result: ResultLayer, place: tuple[int, Box], ends: npt.NDArray[np.float64]
) -> npt.NDArray[np.bool_]:
    """Return which voxels of a box lie between two ends of the world, along the axes on screen."""
    t, box = place
    layer = result.layer
    origin = np.asarray(layer.data_to_world(np.zeros(layer.ndim)), float)
    steps = [np.asarray(layer.data_to_world(unit), float) - origin for unit in np.eye(layer.ndim)]
    shape = tuple(part.stop - part.start for part in box)
    inside = np.ones(shape, bool)
    before = viewer.dims.ndim - layer.ndim
    for axis in viewer.dims.displayed:
        world = np.full(shape, origin[axis - before])
        for letter, step in zip(result.axes, steps, strict=True):
            if letter in "ZYX":
                index = "ZYX".index(letter)
                numbers = np.arange(box[index].start, box[index].stop)
                world += (numbers * step[axis - before]).reshape([-1 if i == index else 1 for i in range(3)])
            elif letter == "T":
                world += t * step[axis - before]
        inside &= (world >= ends[0][axis]) & (world <= ends[1][axis])
    return inside


def _space_on_screen(result: ResultLayer) -> set[str]:
    """Return the axes on screen; a `UserError` if one of them is not space."""
    letters = {result.axes[axis] if axis >= 0 else "" for axis in result.displayed_axes()}
    if not letters <= set("ZYX"):
        raise UserError("An axis on screen is not space.", "Show two of Z, Y and X.")
    return letters


def _most_hit(viewer: Viewer, result: ResultLayer, places: Sequence[Place]) -> Voxel | None:
    """Return a voxel of the object that most of the lines of sight along a drawn line meet first."""
    world = np.asarray([place.world for place in places], float)
    # Evenly along the way, whatever the speed of the pointer.
    way = np.concatenate(([0.0], np.cumsum(np.linalg.norm(np.diff(world, axis=0), axis=1))))
    steps = np.linspace(0, way[-1], MOST_RAYS)
    line = np.stack([np.interp(steps, way, column) for column in world.T], axis=1)
    hits: Counter[int] = Counter()
    voxels: dict[int, Voxel] = {}
    for position in line:
        hit = first_hit(result.layer, position, places[0].toward, viewer.dims.displayed)
        if hit is not None:
            index = tuple(round(v) for v in hit)
            value = int(result.layer.data[index])
            at = dict(zip(result.axes, index, strict=True))
            hits[value] += 1
            voxels.setdefault(value, (at.get("Z", 0), at["Y"], at["X"]))
    return voxels[hits.most_common(1)[0][0]] if hits else None
