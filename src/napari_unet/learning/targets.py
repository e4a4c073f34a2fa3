"""What the network should answer at each voxel, and where that is certain."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_unet.model.header import Output

BACKGROUND, INTERIOR, BOUNDARY = 0, 1, 2


def targets(
    labels: npt.NDArray[Any], known: npt.NDArray[np.bool_], output: Output
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Turn labels into the network's classes.

    Classes and foreground are what the labels say. Objects become background, interior and boundary
    (`object_targets`).

    Parameters
    ----------
    labels : ndarray of int, (Y, X) or (Z, Y, X)
        Classes or object ids.
    known : ndarray of bool
        Where the labels are the user's.
    output : Output
        What the network's channels mean.

    Returns
    -------
    target : ndarray of int64
        Channel index; for one foreground channel 0 or 1. Meaningless where unknown.
    known : ndarray of bool
        Where the target is certain.
    """
    if output.kind == "instances":
        return object_targets(labels, known)
    if output.kind == "binary":
        return (labels > 0).astype(np.int64), known
    return labels.astype(np.int64), known


def object_targets(
    labels: npt.NDArray[Any], known: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Background 0, interior 1, boundary 2 of labelled objects.

    ::

        object 1   object 2     The boundary lies inside the objects: one voxel wide towards the
        . b b b b  b b b .      background, two (in-plane) where another object is near.
        . b i b b  b b i b
        . b i b b  b b i b

    What the unknown could change is not certain: an object's voxel with a known different neighbour is
    boundary whatever the rest may be; it is interior only if everything near it is known.

    Parameters
    ----------
    labels : ndarray of int, (Y, X) or (Z, Y, X)
        Object ids, 0 is the background.
    known : ndarray of bool
        Where the labels are certain.

    Returns
    -------
    target : ndarray of int64
    known : ndarray of bool
    """
    near = (3,) * labels.ndim
    around = (3, 5, 5)[3 - labels.ndim :]
    labels = labels.astype(np.int64)
    none = 1 << 40  # above every label, and exact in the filter's float64
    certain = np.where(known, labels, -1)  # never a maximum beside an object
    body = np.where(known & (labels > 0), labels, none)  # never a minimum
    edge = ndimage.minimum_filter(np.where(known, labels, none), near, mode="nearest") < labels
    touching = (ndimage.maximum_filter(certain, around, mode="nearest") > labels) | (
        ndimage.minimum_filter(body, around, mode="nearest") < labels
    )
    inside = labels > 0
    boundary = inside & (edge | touching)
    surely = ndimage.minimum_filter(known, around, mode="nearest")
    target = np.where(boundary, BOUNDARY, np.where(inside, INTERIOR, BACKGROUND)).astype(np.int64)
    return target, known & (~inside | boundary | surely)
