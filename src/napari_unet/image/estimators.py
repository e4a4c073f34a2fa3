"""Offset and scale from values that arrive block by block, in groups (one per channel, or one)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


class Percentiles:
    """Exact percentiles: a histogram for 8 and 16 bits, the values themselves otherwise."""

    def __init__(self, dtype: np.dtype[Any], groups: int, low: float, high: float) -> None:
        self.wanted = (low, high, 100.0)
        self.lowest = int(np.iinfo(dtype).min) if dtype.kind in "ui" else 0
        self.counts = (
            [np.zeros(2 ** (8 * dtype.itemsize), np.int64) for _ in range(groups)]
            if dtype.kind in "ui" and dtype.itemsize <= 2
            else None
        )
        self.values: list[list[npt.NDArray[Any]]] = [[] for _ in range(groups)]

    def add(self, group: int, values: npt.NDArray[Any]) -> None:
        """Take finite values, a flat array, into a group."""
        if self.counts is None:
            self.values[group].append(values.copy())
        else:
            shifted = values if self.lowest == 0 else values.astype(np.int32) - self.lowest
            self.counts[group] += np.bincount(shifted, minlength=self.counts[group].size)

    def result(self, group: int) -> tuple[float, float] | None:
        """Return (offset, scale) of a group, or None if it never got a value."""
        if self.counts is None:
            if not self.values[group]:
                return None
            low, high, top = np.percentile(
                np.concatenate(self.values[group]).astype(np.float64, copy=False), self.wanted
            )
            self.values[group] = []
        else:
            cumulative = np.cumsum(self.counts[group])
            if not cumulative[-1]:
                return None
            ranks = np.asarray(self.wanted) / 100 * (cumulative[-1] - 1)
            below = np.searchsorted(cumulative, np.floor(ranks), side="right")
            above = np.searchsorted(cumulative, np.ceil(ranks), side="right")
            low, high, top = below + (above - below) * (ranks % 1) + self.lowest
        return float(low), _positive(high - low) or _positive(top - low) or 1.0


class Moments:
    """Mean and standard deviation, merged block by block (Chan, Golub and LeVeque 1979)."""

    def __init__(self, groups: int) -> None:
        self.state = [(0, 0.0, 0.0)] * groups

    def add(self, group: int, values: npt.NDArray[Any]) -> None:
        """Take finite values, a flat array, into a group."""
        n, mean, squares = self.state[group]
        m = values.size
        block_mean = float(values.mean(dtype=np.float64))
        block_squares = float(np.square(values - block_mean, dtype=np.float64).sum())
        delta = block_mean - mean
        self.state[group] = (
            n + m,
            mean + delta * m / (n + m),
            squares + block_squares + delta**2 * n * m / (n + m),
        )

    def result(self, group: int) -> tuple[float, float] | None:
        """Return (offset, scale) of a group, or None if it never got a value."""
        n, mean, squares = self.state[group]
        if n == 0:
            return None
        deviation = np.sqrt(squares / n)
        # Of a constant image only the rounding error of its mean is left.
        return mean, _positive(deviation if deviation > 1e-12 * abs(mean) else 0.0) or 1.0


def _positive(value: float) -> float:
    """Return the value if it can divide, else 0."""
    return float(value) if np.isfinite(value) and value > 0 else 0.0
