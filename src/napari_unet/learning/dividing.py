"""An object shared out between two kinds of markers, without holding the window up where it is large."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_unet.learning.cuts import ONE_SIDE, OTHER_SIDE
from napari_unet.learning.masks import Mask, dilated, members

Parts = npt.NDArray[np.int32]

LARGE = 200_000  # voxels; a watershed of more is done on a coarser grid


def divided_by_depth(body: Mask, markers: Parts, scale: Sequence[float] = (1, 1, 1)) -> Parts:
    """Share an object out by a watershed of the depth inside it: the parts meet where it is narrow.

    Parameters
    ----------
    body : ndarray of bool, (Z, Y, X)
        The object.
    markers : ndarray of int32, (Z, Y, X)
        1 and 2 at some of its voxels.
    scale : sequence of float
        Voxel size (z, y, x), any unit.

    Returns
    -------
    ndarray of int32, (Z, Y, X)
        1 and 2 in the object, 0 outside and in pieces of it that no marker reaches.

    Notes
    -----
    Of an object of more than 200,000 voxels only some are looked at, evenly chosen; the others follow the
    majority around them, so that the cut lies within a few voxels of where it would lie.
    """
    steps = _steps(body, scale)
    if steps == (1, 1, 1):
        return _by_depth(body, markers, scale)
    z, y, x = steps
    small = body[::z, ::y, ::x].copy()
    seeds = np.zeros(small.shape, np.int32)
    for side in (ONE_SIDE, OTHER_SIDE):
        at = tuple(np.argwhere(markers == side).T // np.array(steps)[:, None])
        small[at], seeds[at] = True, side
    if not (seeds == ONE_SIDE).any():
        return _by_depth(body, markers, scale)  # so close together that they are one on the coarser grid
    coarse = _by_depth(small, seeds, [size * step for size, step in zip(scale, steps, strict=True)])
    return _refined(body, markers, coarse, steps)


def divided_from_line(body: Mask, markers: Parts) -> Parts:
    """Share an object out from the two sides of a line: each part goes to the side from which it is reached first.

    Parameters
    ----------
    body : ndarray of bool, (Z, Y, X)
        The object.
    markers : ndarray of int32, (Z, Y, X)
        1 and 2 along the line; see `napari_unet.learning.cuts.two_sides`.

    Returns
    -------
    ndarray of int32, (Z, Y, X)
        See `divided_by_depth`.

    Notes
    -----
    What hangs on one side alone needs no watershed, and where a line was drawn all across, nothing else is there.
    """
    pieces, count = ndimage.label(body & (markers == 0))
    beside = np.zeros((3, count + 1), bool)
    for side in (ONE_SIDE, OTHER_SIDE):
        beside[side, pieces[dilated(markers == side, 1, (0, 1, 2))]] = True
    beside[:, 0] = False
    owner = np.where(beside[ONE_SIDE], ONE_SIDE, np.where(beside[OTHER_SIDE], OTHER_SIDE, 0)).astype(np.int32)
    parts = np.where(markers > 0, markers, owner[pieces])
    shared = np.flatnonzero(beside[ONE_SIDE] & beside[OTHER_SIDE])
    if shared.size:
        open_ = members(pieces, shared)
        parts[open_] = _flood(open_ | (markers > 0), markers)[open_]
    return parts


def _by_depth(body: Mask, markers: Parts, scale: Sequence[float]) -> Parts:
    from skimage.segmentation import watershed  # slow to import, and the panel opens at once

    depth = ndimage.distance_transform_edt(body, sampling=tuple(scale))
    parts: Parts = watershed(-depth, markers, mask=body)
    return parts


def _flood(mask: Mask, markers: Parts) -> Parts:
    """Grow markers through a mask at the same speed."""
    from skimage.segmentation import watershed

    steps = _steps(mask, (1, 1, 1))
    if steps == (1, 1, 1):
        flooded: Parts = watershed(np.zeros(mask.shape, np.uint8), markers, mask=mask)
        return flooded
    z, y, x = steps
    # A coarse voxel has the marker of any of its voxels, so that the line stays closed.
    seeds = np.zeros([-(-n // step) for n, step in zip(mask.shape, steps, strict=True)], np.int32)
    for side in (ONE_SIDE, OTHER_SIDE):
        seeds[tuple(np.argwhere(markers == side).T // np.array(steps)[:, None])] = side
    small = mask[::z, ::y, ::x] | (seeds > 0)
    coarse = watershed(np.zeros(small.shape, np.uint8), seeds, mask=small)
    return _refined(mask, markers, coarse, steps)


def _steps(body: Mask, scale: Sequence[float]) -> tuple[int, int, int]:
    """Return how far apart along each axis voxels are looked at: so far that they are few, and evenly in space."""
    steps, count = [1, 1, 1], np.count_nonzero(body)
    while count / np.prod(steps) > LARGE:
        spacing = [step * size if n > step else np.inf for step, size, n in zip(steps, scale, body.shape, strict=True)]
        steps[int(np.argmin(spacing))] += 1
    return steps[0], steps[1], steps[2]


def _refined(body: Mask, markers: Parts, coarse: Parts, steps: tuple[int, int, int]) -> Parts:
    """Return the parts at every voxel: those of the majority of what was looked at around it."""
    weights = []
    for side in (ONE_SIDE, OTHER_SIDE):
        share = (coarse == side).astype(np.float32)
        for axis, step in enumerate(steps):
            share = np.repeat(share, step, axis).take(range(body.shape[axis]), axis)
        weights.append(ndimage.uniform_filter(share, [2 * step - 1 if step > 1 else 1 for step in steps]))
    found = np.maximum(*weights) > 1e-6
    parts = np.where(body & found, np.where(weights[1] > weights[0], OTHER_SIDE, ONE_SIDE), 0).astype(np.int32)
    return np.where(markers > 0, markers, parts)
