"""Several passes of the network over one tile, averaged: mirrored versions, and three directions of a volume."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product

import numpy as np
import numpy.typing as npt

from napari_unet.image.boxes import Box

Scores = npt.NDArray[np.float32]
ShouldStop = Callable[[], bool]
Run = Callable[[Scores, ShouldStop | None, str], Scores]  # (N, C, [Z], Y, X) → scores of the same spatial size

SIMILAR = 2.0  # z-spacing up to this many times that in the plane: mirroring in z shows the network nothing foreign
_AT_ONCE = 2**20  # voxels of planes that go through the network together


def mirror_axes(ndim: int, scale_um: Sequence[float] | None) -> tuple[tuple[int, ...], ...]:
    """Return the mirrored versions of a tile, each as the axes (counted from the end) to be reversed.

    Parameters
    ----------
    ndim : int
        2 or 3: of the network.
    scale_um : sequence of float or None
        Voxel size (z, y, x). In z it may differ by a factor of `SIMILAR` from that in the plane; stacks
        with coarser planes, or of unknown spacing, are mirrored in the plane only.

    Returns
    -------
    tuple of tuple of int
        The first is empty: the tile as it is.

    Examples
    --------
    >>> mirror_axes(2, None)
    ((), (-1,), (-2,), (-2, -1))
    >>> len(mirror_axes(3, (0.4, 0.3, 0.3))), len(mirror_axes(3, (2.0, 0.3, 0.3)))
    (8, 4)
    """
    similar = scale_um is not None and 1 / SIMILAR <= 2 * scale_um[0] / (scale_um[1] + scale_um[2]) <= SIMILAR
    axes = (-3, -2, -1) if ndim == 3 and similar else (-2, -1)
    chosen = product((False, True), repeat=len(axes))
    return tuple(tuple(axis for axis, yes in zip(axes, which, strict=True) if yes) for which in chosen)


def mirrored(run: Run, versions: Sequence[tuple[int, ...]]) -> Run:
    """Return a run that averages over mirrored versions of each batch.

    Both ends of a tile lie on the network's grid, so that mirroring a tile and mirroring the padded image
    give the same scores. One version is held at a time beside the sum.

    Parameters
    ----------
    run : callable
        The network.
    versions : sequence of tuple of int
        Axes to be reversed, from `mirror_axes`.
    """

    def averaged(batch: Scores, should_stop: ShouldStop | None, where: str) -> Scores:
        total: Scores | None = None
        for axes in versions:
            # A copy each: the engine may overwrite what it is given.
            scores = np.flip(run(np.flip(batch, axes).copy(), should_stop, where), axes)
            total = scores.copy() if total is None else np.add(total, scores, out=total)
        if total is None:
            raise ValueError("there is no version to average over")
        total *= np.float32(1 / len(versions))
        return total

    return averaged


def whole_tile(run: Run) -> Callable[[Scores, ShouldStop | None, str, Box], Scores]:
    """Return a computation for `Runner.tiles` that runs on all of a tile."""
    return lambda batch, should_stop, where, needed: run(batch, should_stop, where)


def three_directions(run: Run) -> Callable[[Scores, ShouldStop | None, str, Box], Scores]:
    """Return a computation for `Runner.tiles` that looks at a volume from three sides with a 2D network.

    ::

             y                YX planes, one per z   ┐
           ╱│                 ZX planes, one per y   ├ mean
        z ┼──── x             ZY planes, one per x   ┘

    Only the planes that cross the needed box are run, each with its halo.

    Parameters
    ----------
    run : callable
        The 2D network.
    """

    def averaged(batch: Scores, should_stop: ShouldStop | None, where: str, needed: Box) -> Scores:
        total: Scores | None = None
        for axis in range(3):
            planes = np.moveaxis(batch[0], 1 + axis, 0)  # (planes, C, rows, columns)
            rows, columns = (needed[other] for other in range(3) if other != axis)
            step = max(1, _AT_ONCE // (planes.shape[2] * planes.shape[3]))
            span = needed[axis]
            for start in range(span.start, span.stop, step):
                some = slice(start, min(start + step, span.stop))
                scores = run(planes[some].copy(), should_stop, where)
                if total is None:
                    total = np.zeros((1, scores.shape[1], *batch.shape[2:]), np.float32)
                seen = np.moveaxis(total[0], 1 + axis, 0)
                seen[some, :, rows, columns] += scores[:, :, rows, columns]
        if total is None:
            raise ValueError("no voxel of the tile is needed")
        total *= np.float32(1 / 3)
        return total

    return averaged
