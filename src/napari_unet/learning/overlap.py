"""How the objects of two label images overlap: a sparse contingency table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Overlaps:
    """Every pair of labels that share a voxel, sorted by (first, second), with the voxels shared.

    Parameters
    ----------
    first, second : ndarray of int64, (n,)
        The labels of each pair; 0 is the background.
    count : ndarray of int64, (n,)
        Voxels shared.
    """

    first: Ints
    second: Ints
    count: Ints

    def sizes(self, which: str) -> tuple[Ints, Ints]:
        """Return the labels of one side ("first" or "second") and their sizes, the background included."""
        labels, inverse = np.unique(getattr(self, which), return_inverse=True)
        return labels, np.bincount(inverse, self.count, labels.size).astype(np.int64)

    def objects(self) -> tuple[Ints, Ints, Ints, Floats]:
        """Return (first, second, shared voxels, IoU) of the pairs without background."""
        sides = []
        for which in ("first", "second"):
            labels, sizes = self.sizes(which)
            sides.append(sizes[np.searchsorted(labels, getattr(self, which))])
        iou = self.count / (sides[0] + sides[1] - self.count)
        real = (self.first > 0) & (self.second > 0)
        return self.first[real], self.second[real], self.count[real], iou[real]


def count_overlaps(
    first: npt.NDArray[Any], second: npt.NDArray[Any], mask: npt.NDArray[np.bool_] | None = None
) -> Overlaps:
    """Count the voxels shared by each pair of labels.

    Parameters
    ----------
    first, second : ndarray of int, same shape
        Labels below 2³².
    mask : ndarray of bool, optional
        Voxels to count; all when omitted.

    Returns
    -------
    Overlaps
        The table; only pairs that occur are stored.
    """
    if first.shape != second.shape:
        raise ValueError(f"shapes differ: {first.shape} and {second.shape}")
    pair = (first.astype(np.uint64).ravel() << np.uint64(32)) | second.astype(np.uint64).ravel()
    if mask is not None:
        pair = pair[mask.ravel()]
    if pair.size == 0:
        none = np.empty(0, np.int64)
        return Overlaps(none, none, none)
    # Labels come in runs: sorting runs instead of voxels is some ten times faster.
    starts = np.flatnonzero(np.concatenate(([True], pair[1:] != pair[:-1])))
    lengths = np.diff(starts, append=pair.size)
    pairs, inverse = np.unique(pair[starts], return_inverse=True)
    counts = np.bincount(inverse, lengths, pairs.size).astype(np.int64)
    return Overlaps((pairs >> np.uint64(32)).astype(np.int64), (pairs & np.uint64(0xFFFFFFFF)).astype(np.int64), counts)


def best_partner(group: Ints, score: Floats, tie: Ints) -> npt.NDArray[np.bool_]:
    """Mark, for each value of `group`, its entry with the highest `score` (ties: the smallest `tie`)."""
    best = np.zeros(group.size, bool)
    if group.size:
        order = np.lexsort((tie, -score, group))
        ordered = group[order]
        best[order[np.concatenate(([True], ordered[1:] != ordered[:-1]))]] = True
    return best
