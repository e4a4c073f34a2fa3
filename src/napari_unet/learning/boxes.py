"""Boxes around what an array holds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from napari_unet.image.boxes import Box, clip, grow

Array = npt.NDArray[np.generic]


def tight(mask: npt.NDArray[np.bool_], box: Box) -> Box | None:
    """Return the smallest part of `box` that holds every true voxel of `mask` (of the box's shape)."""
    ends = []
    for axis, part in enumerate(box):
        others = tuple(other for other in range(3) if other != axis)
        hits = np.flatnonzero(mask.any(axis=others))
        if hits.size == 0:
            return None
        ends.append(slice(part.start + int(hits[0]), part.start + int(hits[-1]) + 1))
    z, y, x = ends
    return z, y, x


def faces(box: Box, shape: Sequence[int]) -> Iterator[tuple[int, int, Box]]:
    """Yield (axis, side, one-voxel-thick face) for every face of `box` that does not lie on the array's border."""
    for axis in range(3):
        part = box[axis]
        for side, at, is_border in (
            (0, part.start, part.start == 0),
            (1, part.stop - 1, part.stop == int(shape[axis])),
        ):
            if not is_border and part.stop > part.start:
                face = list(box)
                face[axis] = slice(at, at + 1)
                yield axis, side, (face[0], face[1], face[2])


def window_of(labels: Array, values: npt.ArrayLike, start: Box) -> Box:
    """Grow a box until the objects in it are whole.

    ::

        ┌ start ┐            ┌──── result ───┐
        │   ▓▓▓▓│▓▓▓▓   →    │   ▓▓▓▓ ▓▓▓▓   │
        └───────┘            └───────────────┘

    A side moves out, by steps that double, as long as one of `values` lies on its face. Parts of an
    object that are not connected to it through the growing box stay outside.

    Parameters
    ----------
    labels : ndarray, (Z, Y, X)
        Labels of one time point.
    values : array-like of int
        The objects.
    start : Box
        Where they were touched.

    Returns
    -------
    Box
        A box that contains `start` and the objects with one voxel around them, inside the array.
    """
    shape = labels.shape
    box = grow(clip(start, shape), (1, 1, 1), shape)
    step = [8, 32, 32]
    while True:
        sides = [(axis, side) for axis, side, face in faces(box, shape) if np.isin(labels[face], values).any()]
        if not sides:
            return box
        ends = [[part.start, part.stop] for part in box]
        for axis, side in sides:
            ends[axis][side] += step[axis] if side else -step[axis]
        for axis in {axis for axis, _ in sides}:
            step[axis] *= 2
        box = clip([slice(low, high) for low, high in ends], shape)
