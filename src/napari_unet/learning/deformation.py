"""Elastic deformation of patches, in-plane: every plane of a volume is bent alike."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

SPACING, SHIFT = 24, 3.0  # px between the nodes of the random field, and the standard deviation of their shifts

Floats = npt.NDArray[np.float32]
Index = npt.NDArray[np.int64]


def bent(image: Floats, others: tuple[npt.NDArray[Any], ...], generator: np.random.Generator) -> tuple[Any, ...]:
    """Move pixels along a smooth random field, a few pixels at most.

    Strokes show a structure in a few places; bent, they show it in many (Simard et al., "Best practices for
    convolutional neural networks applied to visual document analysis", ICDAR 2003; U-Net has used it from the start).

    Parameters
    ----------
    image : ndarray of float32, (..., Y, X)
        Interpolated linearly.
    others : tuple of ndarray, (..., Y, X)
        Labels, masks and weights: each pixel takes the value of the nearest one.
    generator : numpy.random.Generator
        The only source of chance.

    Returns
    -------
    tuple of ndarray
        The image, then the others, of the same shapes and dtypes.
    """
    height, width = image.shape[-2:]
    rows = np.arange(height, dtype=np.float32)[:, None] + _field(height, width, generator)
    columns = np.arange(width, dtype=np.float32) + _field(height, width, generator)
    rows, columns = rows.clip(0, height - 1), columns.clip(0, width - 1)
    nearest = np.rint(rows).astype(np.int64), np.rint(columns).astype(np.int64)
    return _interpolated(image, rows, columns), *(array[..., nearest[0], nearest[1]] for array in others)


def _field(height: int, width: int, generator: np.random.Generator) -> Floats:
    """Return a random shift of every pixel in px, linear between nodes."""
    counts = [max(2, round(n / SPACING)) for n in (height, width)]
    nodes = generator.normal(0, SHIFT, counts).astype(np.float32)
    low, part = _places(height, counts[0])
    nodes = nodes[low] * (1 - part[:, None]) + nodes[low + 1] * part[:, None]
    low, part = _places(width, counts[1])
    field: Floats = nodes[:, low] * (1 - part) + nodes[:, low + 1] * part
    return field


def _places(length: int, count: int) -> tuple[Index, Floats]:
    """Return between which nodes each pixel lies: the lower one, and the share of the way to the next."""
    place = np.linspace(0, count - 1, length, dtype=np.float32)
    low = np.minimum(place.astype(np.int64), count - 2)
    return low, place - low


def _interpolated(image: Floats, rows: Floats, columns: Floats) -> Floats:
    top, left = (
        np.minimum(at.astype(np.int64), max(n - 2, 0)) for at, n in zip((rows, columns), image.shape[-2:], strict=True)
    )
    below, right = (np.minimum(at + 1, n - 1) for at, n in zip((top, left), image.shape[-2:], strict=True))
    down, along = (rows - top).astype(np.float32), (columns - left).astype(np.float32)
    upper = image[..., top, left] * (1 - along) + image[..., top, right] * along
    lower = image[..., below, left] * (1 - along) + image[..., below, right] * along
    found: Floats = (upper * (1 - down) + lower * down).astype(np.float32, copy=False)
    return found
