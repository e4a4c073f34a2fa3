"""How far a mean can be trusted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def bootstrap(values: Sequence[float], seed: int = 0, level: float = 0.95) -> tuple[float, float]:
    """Return the interval of the mean over blocks, by resampling the blocks 2000 times.

    Parameters
    ----------
    values : sequence of float
        One value per block, at least one.
    seed : int
        Of the resampling.
    level : float
        Share of the resampled means inside the interval.

    Returns
    -------
    tuple of float
        Low and high end (Efron and Tibshirani, *An Introduction to the Bootstrap*, 1993).
    """
    data = np.asarray(values, float)
    means = data[np.random.default_rng(seed).integers(0, data.size, (2000, data.size))].mean(axis=1)
    low, high = np.quantile(means, ((1 - level) / 2, (1 + level) / 2))
    return float(low), float(high)
