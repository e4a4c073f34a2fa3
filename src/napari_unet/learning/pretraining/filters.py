"""A filter bank whose responses need no labels: what a general parent may learn from any image. Free of torch."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Floats = npt.NDArray[np.float32]

SIGMAS = (1.0, 2.0, 4.0)
CHANNELS = 3 * len(SIGMAS)


def responses(image: Floats) -> Floats:
    """Return the responses of scale-normalized filters to an image.

    Gradient magnitude, Laplacian of Gaussian, and local standard deviation at each of `SIGMAS`, of the mean of the
    channels [1]_.

    Parameters
    ----------
    image : ndarray of float32
        (C, [Z], Y, X), normalized.

    Returns
    -------
    ndarray of float32
        (`CHANNELS`, [Z], Y, X).

    References
    ----------
    .. [1] T. Lindeberg, "Feature detection with automatic scale selection", International Journal of Computer
       Vision 30, 1998.
    """
    gray = image.mean(0)
    found = []
    for sigma in SIGMAS:
        smooth = ndimage.gaussian_filter(gray, sigma)
        found.append(sigma * ndimage.gaussian_gradient_magnitude(gray, sigma))
        found.append(sigma**2 * ndimage.gaussian_laplace(gray, sigma))
        spread = ndimage.gaussian_filter(gray**2, sigma) - smooth**2
        found.append(np.sqrt(np.maximum(spread, 0)))
    return np.stack(found).astype(np.float32)
