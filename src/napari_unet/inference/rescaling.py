"""Rescaling to the model's voxel size, and the scores back to the image's grid. Free of torch.

Both grids cover the same extent; a voxel's value belongs to its centre::

    image     |   ·   |   ·   |   ·   |   ·   |        N voxels
    network   |     ·     |     ·     |     ·     …    M voxels, position u = (i + ½) M/N − ½ of image voxel i

The image is read region by region through a linear interpolation that averages where it shrinks; weights
depend on the place in the whole image alone, so that tiles see what the whole image would show. Scores go
back by linear interpolation between the two nearest voxels of the network's grid along each axis.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import ceil, sqrt
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_unet.image.boxes import Box, Triple, as_box, triple
from napari_unet.image.source import ImageSource

TOLERATED = 1.25  # factor by which voxel sizes may differ along each axis: networks do not notice
IMPLAUSIBLE = 16.0  # factor from which a unit was probably mistaken

Scores = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Rescaling:
    """Two grids over one image.

    Parameters
    ----------
    image : tuple of int
        (Z, Y, X) of the image.
    network : tuple of int
        (Z, Y, X) of what the network is run on.

    Examples
    --------
    >>> Rescaling((1, 100, 100), (1, 50, 50)).decided((slice(0, 1), slice(0, 20), slice(20, 50)))
    (slice(0, 1, None), slice(0, 40, None), slice(40, 100, None))
    """

    image: Triple
    network: Triple

    def seen(self, box: Box) -> Box:
        """Return the part of the network's grid that shows a box of the image, which may be empty."""
        spans = []
        for span, n, m in zip(box, self.image, self.network, strict=True):
            start = min(span.start * m // n, m)
            spans.append(slice(start, max(start, min(-(-span.stop * m // n), m))))
        return spans[0], spans[1], spans[2]

    def decided(self, box: Box) -> Box:
        """Return the image's voxels whose centres lie in a box of the network's grid.

        Boxes that partition the network's grid give boxes that partition the image.
        """
        spans = []
        for span, n, m in zip(box, self.image, self.network, strict=True):
            # In whole numbers: i ≥ (2 a N − M) / 2M for a centre at or beyond a.
            first, last = (-((m - 2 * n * end) // (2 * m)) for end in (span.start, span.stop))
            spans.append(slice(max(0, first), min(n, last)))
        return spans[0], spans[1], spans[2]

    def back(self, scores: Scores, part: Box, box: Box) -> Scores:
        """Interpolate scores at the voxels of the image.

        Parameters
        ----------
        scores : ndarray of float32
            (C, z, y, x) over `part`.
        part : tuple of slice
            In the network's grid: what `box` shows and one voxel more on each side; where it has less,
            the outermost voxel is repeated.
        box : tuple of slice
            In the image.

        Returns
        -------
        ndarray of float32
            (C, z, y, x) over `box`, within the range of `scores`.
        """
        for axis, (span, known, n, m) in enumerate(zip(box, part, self.image, self.network, strict=True), start=1):
            if n == m:
                scores = scores.take(range(span.start - known.start, span.stop - known.start), axis)
                continue
            position = (np.arange(span.start, span.stop) + 0.5) * (m / n) - 0.5
            low = np.floor(position).astype(np.int64)
            weight = _along(position - low, axis, scores.ndim)
            below, above = (np.clip(index, known.start, known.stop - 1) - known.start for index in (low, low + 1))
            scores = scores.take(below, axis) * (1 - weight) + scores.take(above, axis) * weight
        return np.ascontiguousarray(scores)

    def source(self, source: ImageSource) -> ImageSource:
        """Return the image on the network's grid, still unread; float32."""
        data = _Resampled(source, self.network)
        scale = source.scale
        if scale is not None:
            scale = tuple(s * n / m for s, n, m in zip(scale, self.image, self.network, strict=True))
        return replace(source, data=data, axes="TCZYX", rgb=False, channels=None, scale=scale)


class _Resampled:
    """An image on another grid as a lazy array (T, C, Z, Y, X)."""

    def __init__(self, source: ImageSource, size: Triple) -> None:
        self._source = source
        self.shape = (source.n_times, source.n_channels, *size)
        self.ndim = 5
        self.dtype = np.dtype(np.float32)

    def __getitem__(self, key: tuple[slice | int, ...]) -> npt.NDArray[np.float32]:
        """Read a region; lengths one for integers are dropped, as numpy does."""
        spans = [k if isinstance(k, slice) else slice(int(k), int(k) + 1) for k in key]
        times, channels, *box = (slice(*s.indices(n)[:2]) for s, n in zip(spans, self.shape, strict=True))
        taps = [_taps(s, n, m) for s, n, m in zip(box, self._source.shape[1:], self.shape[2:], strict=True)]
        region = as_box([index.min() for index, _ in taps], [index.max() + 1 for index, _ in taps])
        frames = []
        for t in range(times.start, times.stop):
            block = self._source.read(t, region)[channels].astype(np.float32)
            for axis, (index, weight) in enumerate(taps, start=1):
                block = _weighted(block, index - region[axis - 1].start, weight, axis)
            frames.append(block)
        return np.stack(frames)[tuple(slice(None) if isinstance(k, slice) else 0 for k in key)]


def _taps(span: slice, length: int, wanted: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Return which voxels of the image make up each of a span of the network's, and with which weights.

    A triangle as wide as the coarser of the two spacings; beyond the border the outermost voxel is repeated.
    """
    if length == wanted:
        return np.arange(span.start, span.stop)[:, None], np.ones((span.stop - span.start, 1), np.float32)
    ratio = length / wanted
    width = max(1.0, ratio)
    centre = (np.arange(span.start, span.stop) + 0.5) * ratio - 0.5
    first = np.ceil(centre - width).astype(np.int64)
    index = first[:, None] + np.arange(ceil(2 * width) + 1)
    weight = np.clip(1 - np.abs(index - centre[:, None]) / width, 0, None)
    weight /= weight.sum(axis=1, keepdims=True)
    return np.clip(index, 0, length - 1), weight.astype(np.float32)


def _weighted(block: Scores, index: npt.NDArray[np.int64], weight: npt.NDArray[np.float32], axis: int) -> Scores:
    if index.shape[1] == 1:
        return block.take(index[:, 0], axis)
    total = np.zeros(0, np.float32)
    for tap in range(index.shape[1]):
        part = block.take(index[:, tap], axis) * _along(weight[:, tap], axis, block.ndim)
        total = part if tap == 0 else np.add(total, part, out=total)
    return total


def _along(values: npt.NDArray[Any], axis: int, ndim: int) -> npt.NDArray[np.float32]:
    shape = [1] * ndim
    shape[axis] = -1
    return values.reshape(shape).astype(np.float32)


def choose_rescaling(
    source: ImageSource, voxel_size: Sequence[float] | None, *, wanted: bool, isotropic: bool = False
) -> tuple[Rescaling | None, str]:
    """Decide whether and how an image is rescaled for a model.

    Voxel sizes that agree within `TOLERATED` along every axis are left alone, and so are unknown ones.

    Parameters
    ----------
    source : ImageSource
        The image.
    voxel_size : sequence of float or None
        The model's, in µm: (y, x) of a 2D model, which leaves z as it is, or (z, y, x).
    wanted : bool
        Whether rescaling is switched on; if not, a clear difference is only stated.
    isotropic : bool
        A 2D model looks along all three axes: z is to be as fine as y and x.

    Returns
    -------
    Rescaling or None
    str
        What the user should know, as a sentence; empty if nothing.
    """
    have = source.scale_um
    if have is None:
        return None, UNKNOWN_SPACING if isotropic else ""
    if isotropic:
        y, x = voxel_size or have[1:]
        target: tuple[float, ...] = (sqrt(y * x), y, x)
    elif voxel_size is None:
        return None, ""
    else:
        target = (have[0], *voxel_size) if len(voxel_size) == 2 else tuple(voxel_size)
    factors = [h / t for h, t in zip(have, target, strict=True)]
    if all(1 / TOLERATED <= factor <= TOLERATED for factor in factors):
        return None, ""
    flat = not isotropic and voxel_size is not None and len(voxel_size) == 2
    image, model = (f"{' × '.join(f'{n:.3g}' for n in size[1 if flat else 0 :])} µm" for size in (have, target))
    if any(not 1 / IMPLAUSIBLE <= factor <= IMPLAUSIBLE for factor in factors):
        return None, (
            f"The image's voxels of {image} and the model's of {model} differ more than {IMPLAUSIBLE:g} times: "
            "nothing was rescaled. Check the image's voxel size."
        )
    if not wanted:
        return None, f"The image's voxels are {image}, the model's {model}; rescaling is switched off."
    lengths = source.shape[1:]
    size = triple(max(1, round(n * factor)) for n, factor in zip(lengths, factors, strict=True))
    rescaling = Rescaling(triple(lengths), size)
    if rescaling.image == rescaling.network:
        return None, ""
    return rescaling, (
        f"The model sees the image rescaled from voxels of {image} to {model}; labels are on the image's grid."
    )


def trained_voxel_size(
    sources: Iterable[ImageSource], ndim: int, before: tuple[float, ...] | None
) -> tuple[float, ...] | None:
    """Return the voxel size of a model that learned from some images, as they are.

    Parameters
    ----------
    sources : iterable of ImageSource
        The images.
    ndim : int
        2 or 3: of the model.
    before : tuple of float or None
        What it was; it stays if no image tells its size.

    Returns
    -------
    tuple of float or None
        In µm, ([Z], Y, X): the geometric mean of sizes that agree within `TOLERATED`. None if they do not:
        such a model has learned several sizes, and nothing is rescaled for it.
    """
    sizes = [source.scale_um[-ndim:] for source in sources if source.scale_um is not None]
    if not sizes:
        return before
    logarithms = np.log(np.asarray(sizes, np.float64))
    if (np.ptp(logarithms, axis=0) > np.log(TOLERATED)).any():
        return None
    return tuple(float(f"{size:.6g}") for size in np.exp(logarithms.mean(axis=0)))


UNKNOWN_SPACING = "The voxel size is unknown: the planes are taken to lie as far apart as the pixels in a plane."
