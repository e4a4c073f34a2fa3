"""Masks of large label images, fast enough for the thread that draws the window."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]

LONGEST_TABLE = 1 << 26  # entries, one byte each


def members(labels: npt.NDArray[Any], values: npt.NDArray[Any]) -> Mask:
    """Return where the labels are one of `values`, as ``np.isin`` does, but by one look-up for each voxel.

    Parameters
    ----------
    labels : ndarray of unsigned int
        Any shape.
    values : ndarray of int
        Not negative.

    Returns
    -------
    ndarray of bool
        Of the labels' shape.
    """
    largest = int(labels.max(initial=0))
    if largest >= LONGEST_TABLE:
        return np.isin(labels, values)
    table = np.zeros(largest + 1, bool)
    table[values[values <= largest]] = True
    return np.take(table, labels)


def dilated(mask: Mask, width: int, axes: tuple[int, ...]) -> Mask:
    """Return a mask and what lies within `width` steps of it along some axes.

    ::

        width 2, two axes:   . . # . .
                             . # # # .
                             # # o # #
                             . # # # .
                             . . # . .

    The same as a binary dilation with a cross, repeated; ten times faster, because whole rows are joined.

    Parameters
    ----------
    mask : ndarray of bool
        Any shape.
    width : int
        Number of steps.
    axes : tuple of int
        Along which axes a step may go.

    Returns
    -------
    ndarray of bool
        A new array, or `mask` itself if the width is 0.
    """
    for _ in range(width):
        grown = mask.copy()
        for axis in axes:
            ahead, behind = [slice(None)] * mask.ndim, [slice(None)] * mask.ndim
            ahead[axis], behind[axis] = slice(1, None), slice(None, -1)
            grown[tuple(ahead)] |= mask[tuple(behind)]
            grown[tuple(behind)] |= mask[tuple(ahead)]
        mask = grown
    return mask
