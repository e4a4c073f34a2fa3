"""Where a drawn line divides an object: pure geometry."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

ONE_SIDE, OTHER_SIDE = 1, 2
MOST_CORNERS = 32  # of a drawn path; more of them say nothing new about where it goes


def two_sides(
    body: Mask,
    start: Sequence[int],
    path: npt.ArrayLike,
    direction: Sequence[float],
    scale: Sequence[float] = (1, 1, 1),
) -> npt.NDArray[np.int32]:
    """Mark the voxels of an object on both sides of a line that was drawn over it.

    The line is seen along `direction`, and so is the object: whatever its depth, a voxel lies on the one
    side or on the other.

    ::

        . o o o . .        1: one side       The marks run along the line on both its sides, so that
        o 1|2 o o .        2: the other      nothing grows across it; what lies beyond its ends is for
        o 1|2 o o o                          a watershed to share out.
        . 1|2 o o .

    Parameters
    ----------
    body : ndarray of bool, (Z, Y, X)
        The object in its box.
    start : sequence of int
        First corner of the box, in voxels of the path.
    path : array-like of (z, y, x)
        Corners of the line, at least two different ones.
    direction : sequence of float
        (z, y, x) along which the user looked, in voxels; of any length but 0.
    scale : sequence of float
        Voxel size (z, y, x), any unit.

    Returns
    -------
    ndarray of int32, (Z, Y, X)
        1 and 2 beside the line, 0 elsewhere; without one of the two where the line does not divide the object.
    """
    spacing = np.asarray(scale, float)
    plane = _plane(np.asarray(direction, float) * spacing)
    corners = _thinned(np.asarray(path, float) * spacing @ plane.T)
    voxels = np.argwhere(body)
    flat = (voxels + np.asarray(start)) * spacing @ plane.T
    # One step along any axis must not jump from one side to the other without touching a mark.
    reach = float(np.linalg.norm(plane * spacing, axis=0).max()) + 1e-9
    near = np.flatnonzero(np.all((flat >= corners.min(0) - reach) & (flat <= corners.max(0) + reach), axis=1))
    distance, side = _beside(flat[near], corners)
    hit = near[distance <= reach]
    markers = np.zeros(body.shape, np.int32)
    markers[tuple(voxels[hit].T)] = np.where(side[distance <= reach] >= 0, ONE_SIDE, OTHER_SIDE)
    return markers


def crossed(labels: npt.NDArray[Any], path: npt.ArrayLike) -> tuple[int, int, int] | None:
    """Return a voxel of the object that most of a path runs over, or None if it meets none.

    Parameters
    ----------
    labels : ndarray of int, (Z, Y, X)
        Labels of one time point.
    path : array-like of (z, y, x)
        Corners of the line, in voxels.
    """
    corners = np.asarray(path, float)
    counts = np.ceil(np.abs(np.diff(corners, axis=0)).max(axis=1) * 2).astype(int) + 1
    steps = [np.linspace(a, b, n) for (a, b), n in zip(pairwise(corners), counts, strict=True)]
    voxels = np.round(np.concatenate(steps)).astype(int)
    voxels = voxels[np.all((voxels >= 0) & (voxels < labels.shape), axis=1)]
    values = labels[tuple(voxels.T)]
    voxels, values = voxels[values > 0], values[values > 0]
    if not values.size:
        return None
    found, count = np.unique(values, return_counts=True)
    z, y, x = voxels[np.flatnonzero(values == found[np.argmax(count)])[0]]
    return int(z), int(y), int(x)


def _plane(direction: Floats) -> Floats:
    """Return two unit vectors across a direction, (2, 3)."""
    along = direction / np.linalg.norm(direction)
    first = np.cross(along, np.eye(3)[int(np.argmin(np.abs(along)))])
    first /= np.linalg.norm(first)
    return np.stack((first, np.cross(along, first)))


def _thinned(corners: Floats) -> Floats:
    """Return a path without repeated corners, and with at most `MOST_CORNERS` evenly chosen ones."""
    moved = np.any(np.abs(np.diff(corners, axis=0, prepend=corners[:1] - 1)) > 1e-9, axis=1)
    kept: Floats = corners[moved]
    if len(kept) > MOST_CORNERS:
        kept = kept[np.round(np.linspace(0, len(kept) - 1, MOST_CORNERS)).astype(int)]
    return kept


def _beside(points: Floats, corners: Floats) -> tuple[Floats, Floats]:
    """Return the distance of points (n, 2) from a path, and on which side they lie (its sign).

    Behind a corner two segments are equally near; the one that the point lies more clearly beside decides.
    """
    distance, side = np.full(len(points), np.inf), np.zeros(len(points))
    for first, last in pairwise(corners):
        along = last - first
        length = np.linalg.norm(along)
        offset = points - first
        share = np.clip(offset @ along / length**2, 0, 1)
        away = np.linalg.norm(offset - share[:, None] * along, axis=1)
        across = (along[0] * offset[:, 1] - along[1] * offset[:, 0]) / length
        nearer = (away < distance - 1e-9) | ((away < distance + 1e-9) & (np.abs(across) > np.abs(side)))
        distance = np.where(nearer, np.minimum(away, distance), distance)
        side = np.where(nearer, across, side)
    return distance, side
