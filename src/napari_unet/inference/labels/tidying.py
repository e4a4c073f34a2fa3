"""Objects made fit to be shown: holes filled, what is too small dropped, numbered in raster order. Free of torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Found = npt.NDArray[np.int32]


def tidied(labels: Found, count: int, fill_holes: bool, min_size: int) -> npt.NDArray[np.uint32]:
    """Fill holes, drop what is too small, and number from 1 in raster order.

    Parameters
    ----------
    labels : ndarray of int32
        Objects, 0 outside.
    count : int
        The largest id that may occur.
    fill_holes : bool
        Give a hole to the object around it.
    min_size : int
        Objects of fewer voxels are dropped, those in holes counted.

    Returns
    -------
    ndarray of uint32
        1 to n, in the order of the first voxel.
    """
    if fill_holes and count:
        labels = filled(labels, count)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    keep = sizes >= max(1, min_size)
    keep[0] = False
    flat = np.flatnonzero(labels)
    first = np.full(keep.size, labels.size, np.int64)
    # Written backwards, so that the first voxel of each object stands.
    first[labels.ravel()[flat[::-1]]] = flat[::-1]
    first[~keep] = labels.size
    order = np.argsort(first, kind="stable")[: int(keep.sum())]
    renumber = np.zeros(keep.size, np.uint32)
    renumber[order] = np.arange(1, order.size + 1, dtype=np.uint32)
    return renumber[labels]


def filled(labels: Found, count: int) -> Found:
    """Give a hole to the object around it; one that touches two objects or the border stays."""
    holes, found = ndimage.label(labels == 0)
    outside = np.zeros(found + 1, np.bool_)
    outside[0] = True
    for axis in range(labels.ndim):
        for end in (0, -1):
            outside[holes[(slice(None),) * axis + (end,)]] = True
    if outside.all():
        return labels
    low, high = around(holes, found, labels)
    owner = np.where((low == high) & ~outside, high, 0).astype(np.int32)
    return np.where(holes > 0, owner[holes], labels)


def around(holes: Found, found: int, labels: npt.NDArray[Any]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the lowest and the highest object that each hole touches by a face.

    Parameters
    ----------
    holes : ndarray of int32
        Holes from 1 to `found`, 0 elsewhere.
    found : int
        How many.
    labels : ndarray of int
        The objects.

    Returns
    -------
    tuple of ndarray of int64
        Per hole (index 0 unused); the largest integer and 0 where it touches none.
    """
    low = np.full(found + 1, np.iinfo(np.int64).max, np.int64)
    high = np.zeros(found + 1, np.int64)
    for axis in range(labels.ndim):
        near: tuple[slice, ...] = (slice(None),) * axis + (slice(None, -1),)
        far: tuple[slice, ...] = (slice(None),) * axis + (slice(1, None),)
        for one, other in ((near, far), (far, near)):
            touch = (holes[one] > 0) & (labels[other] > 0)
            np.minimum.at(low, holes[one][touch], labels[other][touch])
            np.maximum.at(high, holes[one][touch], labels[other][touch])
    return low, high
