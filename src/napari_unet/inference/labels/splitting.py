"""Connected objects split where their interiors part: seeds at rising levels, and a watershed from them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Found = npt.NDArray[np.int32]
Mask = npt.NDArray[np.bool_]

LEVELS = (-0.8, -0.6, -0.4, -0.2, 0.0, 0.2, 0.4, 0.6, 0.8, 0.9)  # of interior − boundary, one per tenth of `split`
LEAST_SEED = 2  # voxels: a single one above a level is noise


def parted(
    labels: Found, count: int, ridge: npt.NDArray[Any], levels: tuple[float, ...], speck: int
) -> tuple[Found, int]:
    """Split connected objects.

    Parameters
    ----------
    labels : ndarray of int32
        Connected objects, 1 to `count`, 0 outside.
    count : int
        How many.
    ridge : ndarray of float
        Boundary minus interior, −1 to 1.
    levels : tuple of float
        Rising, of interior minus boundary; an object is split if it falls apart above one of them.
    speck : int
        A piece of fewer voxels is no seed.

    Returns
    -------
    tuple of (ndarray of int32, int)
        Objects in no particular order, and the largest id that may occur.
    """
    return _grown(labels, count, _seeds(-ridge, labels > 0, levels, speck), ridge)


def _seeds(inner: npt.NDArray[Any], mask: Mask, levels: tuple[float, ...], speck: int) -> Found:
    """Mark the seeds, each with a number of its own: what is left of each object above rising levels.

    An object that vanishes at a level keeps the seed that it had below, so that more levels only
    ever split further. Pieces of fewer than `speck` voxels are no seeds.
    """
    seeds = np.zeros(mask.shape, np.int32)
    seed = seeds.ravel()
    held = np.empty(0, np.intp)  # where seeds are
    used = 0
    for cut in levels:
        above = mask & (inner > cut)
        pieces, found = ndimage.label(above)
        flat = np.flatnonzero(above)
        piece = pieces.ravel()[flat]
        strong = (np.bincount(piece, minlength=found + 1) >= speck)[piece]
        flat, piece = flat[strong], piece[strong]
        replaced = np.zeros(used + 1, np.bool_)
        replaced[seed[flat]] = True
        gone = replaced[seed[held]]
        seed[held[gone]] = 0
        seed[flat] = piece + used
        held = np.concatenate((held[~gone], flat))
        used += found
    return seeds


def _grown(labels: Found, count: int, seeds: Found, ridge: npt.NDArray[Any]) -> tuple[Found, int]:
    """Split the objects that hold several seeds; the others need no watershed."""
    from skimage.segmentation import watershed  # slow to import, and the panel opens at once

    flat = np.flatnonzero(seeds)
    home = labels.ravel()[flat]
    seed = seeds.ravel()[flat]
    low = np.full(count + 1, np.iinfo(np.int32).max, np.int32)
    high = np.zeros(count + 1, np.int32)
    np.minimum.at(low, home, seed)
    np.maximum.at(high, home, seed)
    mask = (low < high)[labels]
    if not mask.any():
        return labels, count
    # All in one go: objects do not touch, so that none sees another, and a call for each costs more than its voxels.
    seeds = np.where(mask, seeds, 0)
    # What lies deep in a seed grows nothing, but would cost as much as what does.
    deep = _surrounded(seeds > 0)
    split = watershed(ridge, np.where(deep, 0, seeds), connectivity=np.ones((3,) * labels.ndim), mask=mask & ~deep)
    result = np.where(mask, np.where(deep, seeds, split).astype(np.int32, copy=False) + np.int32(count), labels)
    return result, count + int(seeds.max(initial=0))


def _surrounded(mask: Mask) -> Mask:
    """Return where all neighbours, by an edge or a corner too, are in the mask; what is outside of the image is not."""
    for axis in range(mask.ndim):
        middle, low, high = ((slice(None),) * axis + (slice(a, b),) for a, b in ((1, -1), (None, -2), (2, None)))
        inside = np.zeros_like(mask)
        inside[middle] = mask[middle] & mask[low] & mask[high]
        mask = inside
    return mask
