"""A bank of multi-scale filters, those that ilastik and Labkit compute. Free of torch."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations_with_replacement
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Floats = npt.NDArray[np.float32]
Reals = npt.NDArray[np.floating[Any]]

SIGMAS = (0.3, 0.7, 1.0, 1.6, 3.5, 5.0, 10.0)
TRUNCATE = 3.0


def filter_features(image: Floats, sigmas: tuple[float, ...] = SIGMAS) -> Floats:
    """Return the responses of an image to a bank of filters.

    Per channel and scale: Gaussian, Laplacian of Gaussian, gradient magnitude, difference of Gaussians, and the
    eigenvalues of the structure tensor and of the Hessian, largest first (S. Berg et al., "ilastik: interactive
    machine learning for (bio)image analysis", Nature Methods 16, 2019). Of the smallest scale the Gaussian alone, as
    there: its derivatives are noise.

    Parameters
    ----------
    image : ndarray of float32, (C, Y, X) or (C, Z, Y, X)
        Normalized.
    sigmas : tuple of float
        In voxels, the same along every axis.

    Returns
    -------
    ndarray of float32, (features, [Z], Y, X)
    """
    found: list[Reals] = []
    for channel in image:
        found.append(channel)
        for sigma in sigmas:
            smooth = ndimage.gaussian_filter(channel, sigma, truncate=TRUNCATE)
            found.append(smooth)
            if sigma >= 0.7:
                found += _derivatives(channel, smooth, sigma)
    return np.stack(found).astype(np.float32)


def _derivatives(channel: Floats, smooth: Floats, sigma: float) -> list[Reals]:
    ndim = channel.ndim
    first = [np.gradient(smooth, axis=axis) for axis in range(ndim)]
    pairs = list(combinations_with_replacement(range(ndim), 2))
    second = [np.gradient(first[a], axis=b) for a, b in pairs]
    tensor = [ndimage.gaussian_filter(first[a] * first[b], sigma / 2, truncate=TRUNCATE) for a, b in pairs]
    return [
        sum(second[i] for i, (a, b) in enumerate(pairs) if a == b),
        np.sqrt(sum(g**2 for g in first)),
        smooth - ndimage.gaussian_filter(channel, 0.66 * sigma, truncate=TRUNCATE),
        *eigenvalues(tensor, ndim),
        *eigenvalues(second, ndim),
    ]


def eigenvalues(entries: Sequence[Reals], ndim: int) -> list[Reals]:
    """Return the eigenvalues, largest first, of symmetric 2×2 or 3×3 matrices given by their upper triangle."""
    if ndim == 2:
        a, b, c = entries
        middle, spread = (a + c) / 2, np.sqrt(((a - c) / 2) ** 2 + b**2)
        return [middle + spread, middle - spread]
    # O. K. Smith, "Eigenvalues of a symmetric 3 × 3 matrix", CACM 4, 1961.
    a, d, e, b, f, c = entries
    mean = (a + b + c) / 3
    size = np.sqrt(((a - mean) ** 2 + (b - mean) ** 2 + (c - mean) ** 2 + 2 * (d**2 + e**2 + f**2)) / 6)
    safe = np.where(size > 0, size, 1)
    a, b, c, d, e, f = (a - mean) / safe, (b - mean) / safe, (c - mean) / safe, d / safe, e / safe, f / safe
    half = (a * (b * c - f**2) - d * (d * c - f * e) + e * (d * f - b * e)) / 2
    angle = np.arccos(np.clip(half, -1, 1)) / 3
    largest = mean + 2 * size * np.cos(angle)
    smallest = mean + 2 * size * np.cos(angle + 2 * np.pi / 3)
    return [largest, 3 * mean - largest - smallest, smallest]
