"""Which voxels a correction tool passed over; pure geometry in a layer's data coordinates."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Box = tuple[slice, ...]

_WINDOW = 128  # first guess at the half width of a filled object, in pixels
_SMALL_STAMP = 512  # voxels of a brush up to which all its places are drawn at once


@dataclass(frozen=True)
class Sweep:
    """A region that a tool passed over.

    Parameters
    ----------
    box : tuple of slice
        Bounding box, one slice with explicit bounds per axis of the layer.
    mask : ndarray of bool
        The voxels inside the box, as many axes as the layer.
    """

    box: Box
    mask: npt.NDArray[np.bool_]


def interpolate(start: Sequence[float], stop: Sequence[float], brush_size: float) -> npt.NDArray[np.float64]:
    """Return the points at which a brush is set down between two positions of the pointer.

    The spacing is that of napari's brush: a quarter of its size.

    Parameters
    ----------
    start, stop : sequence of float
        Data coordinates.
    brush_size : float
        Diameter of the brush in pixels.

    Returns
    -------
    ndarray of float, shape (n, ndim)
        The points, both ends included.
    """
    first, last = np.asarray(start, dtype=float), np.asarray(stop, dtype=float)
    steps = round(float(np.abs(last - first).max()) / brush_size * 4)
    return first + np.linspace(0, 1, steps + 1)[:, None] * (last - first)


def brush(
    points: Iterable[Sequence[float]],
    size: float,
    scale: Sequence[float],
    dims: Sequence[int],
    shape: Sequence[int],
) -> Sweep | None:
    """Return what a round brush covered.

    ::

        radius = floor(size / 2) + 0.5, in units of the finest of the painted axes

    Parameters
    ----------
    points : iterable of sequence of float
        Where the brush was set down, data coordinates.
    size : float
        Diameter in pixels of the finest painted axis.
    scale : sequence of float
        The layer's scale, per axis; the brush is round in the world, not in voxels.
    dims : sequence of int
        The painted axes: two for a disc, three for a ball.
    shape : sequence of int
        Shape of the layer.

    Returns
    -------
    Sweep or None
        None when the brush never touched the image.
    """
    dims = sorted(dims)
    spacing = np.abs([scale[d] for d in dims]).astype(float)
    spacing /= spacing.min()
    radius = np.floor(size / 2) + 0.5
    reach = np.floor(radius / spacing).astype(int)
    grids = np.ogrid[tuple(slice(-r, r + 1) for r in reach)]
    stamp = sum((g * s) ** 2 for g, s in zip(grids, spacing, strict=True)) <= radius**2
    centres = np.asarray([tuple(point) for point in points], float).reshape(-1, len(shape))
    whole = np.round(centres).astype(int)
    whole = whole[np.any(np.diff(whole, axis=0, prepend=whole[:1] - 1) != 0, axis=1)]  # set down where it has moved
    margin = np.zeros(len(shape), int)
    margin[dims] = reach
    inside = whole[np.all((whole >= -margin) & (whole < np.asarray(shape) + margin), axis=1)]
    if not len(inside):
        return None
    low, high = np.min(inside, axis=0), np.max(inside, axis=0) + 1
    low[dims] -= reach
    high[dims] += reach
    margin_low, high = np.maximum(low, 0), np.minimum(high, shape)
    if np.any(margin_low >= high):
        return None
    mask = np.zeros(tuple(high - margin_low), bool)
    extra = tuple(d for d in range(len(shape)) if d not in dims)
    _stamp(mask, inside - margin - margin_low, np.expand_dims(stamp, extra))
    return Sweep(_box(margin_low, high), mask)


def polygon(vertices: Sequence[Sequence[float]], dims: Sequence[int], shape: Sequence[int]) -> Sweep | None:
    """Return the inside of a polygon drawn in a plane, its outline included.

    Parameters
    ----------
    vertices : sequence of sequence of float
        Data coordinates; all on one plane.
    dims : sequence of int
        The two painted axes.
    shape : sequence of int
        Shape of the layer.

    Returns
    -------
    Sweep or None
        None when the polygon has fewer than three corners or lies outside.
    """
    from PIL import Image, ImageDraw

    if len(vertices) < 3:
        return None
    dims = sorted(dims)
    corners = np.floor(np.asarray(vertices, dtype=float) + 0.5).astype(int)
    plane = corners[:, dims]
    limits = np.asarray([shape[d] for d in dims])
    low, high = np.maximum(plane.min(0), 0), np.minimum(plane.max(0) + 1, limits)
    if np.any(low >= high):
        return None
    # The same rasterizer as napari's polygon tool, so that the two agree to the pixel.
    picture = Image.new("L", (int(high[1] - low[1]), int(high[0] - low[0])), 0)
    ImageDraw.Draw(picture).polygon([(int(x), int(y)) for y, x in plane - low], outline=1, fill=1)
    mask = np.array(picture, dtype=bool)
    if not mask.any():
        return None
    start, stop = corners[0].copy(), corners[0] + 1
    start[dims], stop[dims] = low, high
    extra = tuple(d for d in range(len(shape)) if d not in dims)
    return Sweep(_box(start, stop), np.expand_dims(mask, extra))


def filled(
    labels: npt.NDArray[np.integer], point: Sequence[float], dims: Sequence[int], contiguous: bool
) -> Sweep | None:
    """Return what a fill at a point is about to change; call it before the fill happens.

    The connected region is sought in a window that doubles until the region fits, so that a click
    on a small object in a large image stays cheap.

    Parameters
    ----------
    labels : ndarray of int
        The layer's data.
    point : sequence of float
        Where the pointer is, data coordinates.
    dims : sequence of int
        The painted axes.
    contiguous : bool
        Only the region connected to the point through faces, or all of that label.

    Returns
    -------
    Sweep or None
        None outside the image.
    """
    dims = sorted(dims)
    seed = np.round(np.asarray(point, dtype=float)).astype(int)
    if np.any(seed < 0) or np.any(seed >= labels.shape):
        return None
    plane = labels[tuple(slice(None) if d in dims else int(seed[d]) for d in range(labels.ndim))]
    center = seed[dims]
    value = plane[tuple(center)]
    half = _WINDOW
    while True:
        low = np.maximum(center - half, 0) if contiguous else np.zeros(len(dims), int)
        high = np.minimum(center + half, plane.shape) if contiguous else np.asarray(plane.shape)
        same = plane[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] == value
        if not contiguous:
            region = same
            break
        parts, _ = ndimage.label(same)
        region = parts == parts[tuple(center - low)]
        if not _leaves(region, low, high, plane.shape):
            break
        half *= 4
    corner, mask = _crop(region)
    start, stop = seed.copy(), seed + 1
    start[dims] = low + corner
    stop[dims] = start[dims] + mask.shape
    extra = tuple(d for d in range(labels.ndim) if d not in dims)
    return Sweep(_box(start, stop), np.expand_dims(mask, extra))


def union(sweeps: Iterable[Sweep | None]) -> Sweep | None:
    """Return several sweeps as one, or None if there is none."""
    parts = [sweep for sweep in sweeps if sweep is not None]
    if not parts:
        return None
    if len(parts) == 1:
        return parts[0]
    low = np.min([[s.start for s in part.box] for part in parts], axis=0)
    high = np.max([[s.stop for s in part.box] for part in parts], axis=0)
    mask = np.zeros(tuple(high - low), bool)
    for part in parts:
        mask[tuple(slice(s.start - a, s.stop - a) for s, a in zip(part.box, low, strict=True))] |= part.mask
    return Sweep(_box(low, high), mask)


def _box(low: npt.NDArray[np.integer], high: npt.NDArray[np.integer]) -> Box:
    return tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))


def _stamp(mask: npt.NDArray[np.bool_], corners: npt.NDArray[np.integer], stamp: npt.NDArray[np.bool_]) -> None:
    """Set a mask to True where a stamp was set down with its first corner at each of some places."""
    if stamp.size <= _SMALL_STAMP:
        # All at once: a long stroke of a small brush is set down at hundreds of places.
        voxels = (corners[:, None] + np.argwhere(stamp)).reshape(-1, mask.ndim)
        voxels = voxels[np.all((voxels >= 0) & (voxels < mask.shape), axis=1)]
        mask[tuple(voxels.T)] = True
        return
    for start in corners:
        stop = start + stamp.shape
        target = tuple(slice(max(a, 0), min(b, n)) for a, b, n in zip(start, stop, mask.shape, strict=True))
        if all(t.start < t.stop for t in target):
            mask[target] |= stamp[tuple(slice(t.start - a, t.stop - a) for t, a in zip(target, start, strict=True))]


def _crop(
    mask: npt.NDArray[np.bool_],
) -> tuple[npt.NDArray[np.integer], npt.NDArray[np.bool_]]:
    """Return the first corner of the True part of a mask, and that part."""
    (box,) = ndimage.find_objects(mask.astype(np.uint8))
    return np.asarray([s.start for s in box]), mask[box]


def _leaves(
    region: npt.NDArray[np.bool_],
    low: npt.NDArray[np.integer],
    high: npt.NDArray[np.integer],
    shape: Sequence[int],
) -> bool:
    """Tell whether a region touches a face of its window that is not a face of the image."""
    for axis in range(region.ndim):
        if low[axis] > 0 and region.take(0, axis).any():
            return True
        if high[axis] < shape[axis] and region.take(-1, axis).any():
            return True
    return False
