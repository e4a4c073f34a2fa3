"""The body of a generated nucleus."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

_WAVES = 4


@dataclass(frozen=True)
class Nucleus:
    r"""A star-shaped body: an ellipsoid whose radius waves with the direction.

    A point p is inside where ``rho(p) < 1`` with

        rho(p) = |M (p - center)| / (1 + Σ amplitude · cos(wave · direction + phase))

    Parameters
    ----------
    center : ndarray
        In pixels of the plane (z too).
    shape : ndarray
        The matrix M: rotation, then division by the semi-axes.
    waves : ndarray
        Shape (waves, ndim).
    amplitudes, phases : ndarray
        Shape (waves,).
    reach : float
        No point of the body is farther from the center.
    brightness : float
        Relative to 1.
    """

    center: Array
    shape: Array
    waves: Array
    amplitudes: Array
    phases: Array
    reach: float
    brightness: float

    def rho(self, points: Array) -> Array:
        """Return rho for points of shape (..., ndim)."""
        local = (points - self.center) @ self.shape.T
        distance = np.linalg.norm(local, axis=-1)
        direction = local / np.maximum(distance, 1e-9)[..., np.newaxis]
        swell = np.cos(direction @ self.waves.T + self.phases) @ self.amplitudes
        return np.asarray(distance / (1.0 + swell))


def random_nucleus(center: Array, radius: float, rng: np.random.Generator) -> Nucleus:
    """Return a nucleus of random shape, size (around `radius`) and brightness."""
    ndim = len(center)
    mean = radius * rng.uniform(0.75, 1.25)
    stretch = rng.uniform(0.8, 1.25, ndim)
    axes = mean * stretch / np.prod(stretch) ** (1 / ndim)
    rotation, _ = np.linalg.qr(rng.normal(size=(ndim, ndim)))
    amplitudes = rng.uniform(0.0, 0.09, _WAVES)
    return Nucleus(
        center=center,
        shape=np.diag(1 / axes) @ rotation,
        waves=rng.normal(scale=1.5, size=(_WAVES, ndim)),
        amplitudes=amplitudes,
        phases=rng.uniform(0, 2 * np.pi, _WAVES),
        reach=float(axes.max() * (1 + amplitudes.sum())),
        brightness=float(np.exp(rng.normal(scale=0.35))),
    )


def region(nucleus: Nucleus, shape: Sequence[int], spacing: Array, margin: float = 1.0) -> tuple[slice, ...]:
    """Return the voxels around a nucleus, clipped to the image."""
    low = np.floor((nucleus.center - margin * nucleus.reach) / spacing).astype(int)
    high = np.ceil((nucleus.center + margin * nucleus.reach) / spacing).astype(int) + 1
    return tuple(slice(max(0, a), max(0, min(n, b))) for a, b, n in zip(low, high, shape, strict=True))


def rho_in(nucleus: Nucleus, area: tuple[slice, ...], spacing: Array) -> Array:
    """Return `Nucleus.rho` at the voxels of a region."""
    points = np.stack(np.meshgrid(*(np.arange(s.start, s.stop) for s in area), indexing="ij"), axis=-1)
    return nucleus.rho(points * spacing)
