"""The camera of the generated images: photons in, gray values out."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_GAIN = 10.0  # gray values per photon
_OFFSET = 100.0  # gray values
_READ_NOISE = 3.0  # gray values, standard deviation


def expose(photons: NDArray[np.floating[Any]], rng: np.random.Generator) -> NDArray[np.uint16]:
    """Return what a camera reads: shot noise, gain, offset and read noise, clipped to 16 bits.

    Parameters
    ----------
    photons : ndarray of float
        Expected photons per voxel, at least 0.
    rng : numpy.random.Generator
        Drawn from twice: shot noise, then read noise.
    """
    counted = rng.poisson(photons) * _GAIN + _OFFSET + rng.normal(scale=_READ_NOISE, size=photons.shape)
    return np.clip(np.rint(counted), 0, 65535).astype(np.uint16)
