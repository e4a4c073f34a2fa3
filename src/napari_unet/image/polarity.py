"""Bright objects on dark ground, or the other way round."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

_PER_BLOCK = 65536  # values looked at of a block
_TAILS = (1.0, 50.0, 99.8)  # percentiles
_CLEAR = 1.5  # factor between the tails from which the polarity is clear


class Polarity:
    """Tells the polarity of an image from values that arrive block by block, in groups (one per channel, or one).

    ::

        number        ▂█▆▂▁▁▁▁▁▁           ▁▁▁▁▁▁▂▆█▂
        value         dark  bright         dark  bright
                      bright objects       dark objects

    Most of an image is ground; objects lie in the longer tail beside its median.

    Parameters
    ----------
    groups : int
        How many groups there are.
    """

    def __init__(self, groups: int) -> None:
        self._values: list[list[npt.NDArray[Any]]] = [[] for _ in range(groups)]

    def add(self, group: int, values: npt.NDArray[Any]) -> None:
        """Take finite values, a flat array, into a group."""
        self._values[group].append(values[:: max(1, values.size // _PER_BLOCK)].copy())

    def result(self, group: int) -> str:
        """Return "bright" or "dark", what the objects are; empty if it is not clear."""
        if not self._values[group]:
            return ""
        low, middle, high = np.percentile(np.concatenate(self._values[group]).astype(np.float64), _TAILS)
        above, below = high - middle, middle - low
        return "bright" if above > _CLEAR * below else "dark" if below > _CLEAR * above else ""
