"""How large the objects are that a model learned from."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import repeat
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_unet.inference.diameters import equivalent_diameters

Part = tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]

FEWEST = 3  # objects that a diameter is told from
ALIKE = 1.5  # factor within which the diameters of images agree


def trained_diameter(
    images: Iterable[Iterable[Part]], ndim: int, before: float | None, depths: Iterable[float] = repeat(1.0)
) -> float | None:
    """Return the typical diameter of the objects of a model that learned from some images, as they are.

    Parameters
    ----------
    images : iterable of iterable of (ndarray, ndarray)
        For each image crops (Z, Y, X) of object ids and of what is known of them.
    ndim : int
        2 or 3: of the model. A 2D model sees the objects plane by plane.
    before : float or None
        What it was; it stays if too few objects are known as a whole.
    depths : iterable of float
        For each image how many pixels lie between two planes; counts for 3D models.

    Returns
    -------
    float or None
        In voxels along x: the median over all objects. None if the images differ much: such a model has learned
        several sizes, and nothing is rescaled for it.
    """
    found = []
    for parts, depth in zip(images, depths, strict=False):
        sizes = [_sizes(labels, known, ndim) for labels, known in parts]
        voxels = np.concatenate(sizes) if sizes else np.empty(0)
        diameters = equivalent_diameters(voxels * depth if ndim == 3 else voxels, ndim)
        if diameters.size >= FEWEST:
            found.append(diameters)
    if not found:
        return before
    medians = [float(np.median(one)) for one in found]
    if max(medians) > ALIKE * min(medians):
        return None
    return float(f"{np.median(np.concatenate(found)):.4g}")


def _sizes(labels: npt.NDArray[Any], known: npt.NDArray[np.bool_], ndim: int) -> npt.NDArray[np.int64]:
    """Return the voxels of the objects that are known as a whole and not cut by the crop's sides."""
    planes = zip(labels, known, strict=True) if ndim == 2 else [(labels, known)]
    sizes = []
    for ids, sure in planes:
        values, place = np.unique(ids, return_inverse=True)
        place = place.reshape(ids.shape)
        count = np.bincount(place.ravel(), minlength=values.size)
        sides = np.concatenate([np.take(place, (0, -1), axis).ravel() for axis in range(-ndim, 0)])
        count[values == 0] = count[place[~sure]] = count[sides] = 0
        sizes.append(count[count > 0])
    return np.concatenate(sizes) if sizes else np.empty(0, np.int64)
