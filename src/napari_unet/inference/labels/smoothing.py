"""Smoothing of scores before they become labels. Free of torch.

::

    scores    ▁▂▇▁▅▇█▇▇▃▇▂▁     a Gaussian of standard deviation radius/2, cut off at the radius:
    smoothed  ▁▃▄▄▅▇▇▇▆▅▄▂▁     what is farther away changes nothing, so that parts can be smoothed on their own
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_unet.image.boxes import Box, grow, inside, overlap

Scores = npt.NDArray[np.float32]


def smoothed(scores: npt.NDArray[Any], radius: int) -> Scores:
    """Smooth each channel along its spatial axes; beyond the border the outermost score is repeated.

    Parameters
    ----------
    scores : ndarray
        (C, [Z], Y, X).
    radius : int
        In voxels; 0 leaves the scores as they are.

    Examples
    --------
    >>> smoothed(np.array([[[0, 0, 1, 0, 0]]], np.float32), 0).tolist()
    [[[0.0, 0.0, 1.0, 0.0, 0.0]]]
    >>> smoothed(np.array([[[0, 0, 1, 0, 0]]], np.float32), 1)[0, 0].astype(float).round(2).tolist()
    [0.0, 0.11, 0.79, 0.11, 0.0]
    """
    if radius == 0:
        return np.asarray(scores, np.float32)
    axes = tuple(range(1, scores.ndim))
    return ndimage.gaussian_filter(  # type: ignore[no-any-return]
        scores, radius / 2, output=np.float32, mode="nearest", radius=radius, axes=axes
    )


def smoothed_part(scores: Any, t: int, box: Box, frame: Box, radius: int) -> Scores:
    """Read and smooth a part of some scores as if they had been smoothed as a whole.

    Parameters
    ----------
    scores : array-like
        (T, C, Z, Y, X), read by slices.
    t : int
        Time point.
    box : tuple of slice
        (z, y, x) of the part.
    frame : tuple of slice
        What is decoded as a whole, and contains the part; a frame of one plane is smoothed as a plane.
    radius : int
        See `smoothed`.

    Returns
    -------
    ndarray of float32
        (C, z, y, x) over `box`.
    """
    flat = frame[0].stop - frame[0].start == 1
    margin = (0 if flat else radius, radius, radius)
    wide = overlap(grow(box, margin, scores.shape[2:]), frame)
    if wide is None:
        raise ValueError("the part lies outside its frame")
    part = np.asarray(scores[(t, slice(None), *wide)], np.float32)
    found = smoothed(part[:, 0], radius)[:, np.newaxis] if flat else smoothed(part, radius)
    return found[(slice(None), *inside(box, wide))]
