"""How well labels agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_unet.learning.overlap import count_overlaps

Labels = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Matches:
    """Objects found (true positives), invented (false positives) and missed (false negatives)."""

    true_positives: int
    false_positives: int
    false_negatives: int

    @property
    def precision(self) -> float:
        """Share of the predicted objects that are true; 1 if there are none."""
        return _share(self.true_positives, self.true_positives + self.false_positives)

    @property
    def recall(self) -> float:
        """Share of the true objects that were found; 1 if there are none."""
        return _share(self.true_positives, self.true_positives + self.false_negatives)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; 1 if there is nothing on either side."""
        double = 2 * self.true_positives
        return _share(double, double + self.false_positives + self.false_negatives)

    @property
    def average_precision(self) -> float:
        """TP / (TP + FP + FN), as in the Data Science Bowl 2018; 1 if there is nothing on either side."""
        return _share(self.true_positives, self.true_positives + self.false_positives + self.false_negatives)

    def __add__(self, other: Matches) -> Matches:
        return Matches(
            self.true_positives + other.true_positives,
            self.false_positives + other.false_positives,
            self.false_negatives + other.false_negatives,
        )


def _share(part: float, total: float) -> float:
    return part / total if total else 1.0


def dice(truth: Labels, labels: Labels, mask: Mask | None = None) -> float:
    """Return the Dice coefficient of the foreground (label > 0).

    Parameters
    ----------
    truth, labels : ndarray, same shape
        Masks, classes or object ids.
    mask : ndarray of bool, optional
        Voxels that count; all when omitted.

    Returns
    -------
    float
        ``2 |A ∩ B| / (|A| + |B|)``; 1 if both are empty.
    """
    a, b = _foreground(truth, mask), _foreground(labels, mask)
    return _share(2 * int((a & b).sum()), int(a.sum()) + int(b.sum()))


def iou(truth: Labels, labels: Labels, mask: Mask | None = None) -> float:
    """Return the intersection over union of the foreground (label > 0); 1 if both are empty."""
    a, b = _foreground(truth, mask), _foreground(labels, mask)
    return _share(int((a & b).sum()), int((a | b).sum()))


def class_dice(truth: Labels, labels: Labels, n_classes: int, mask: Mask | None = None) -> dict[int, float]:
    """Return the Dice coefficient of each class (background included) that the truth holds inside the mask."""
    inside = np.ones(truth.shape, bool) if mask is None else mask
    a = np.bincount(truth[inside].astype(np.int64), minlength=n_classes)
    b = np.bincount(labels[inside].astype(np.int64), minlength=n_classes)
    both = np.bincount(truth[inside & (truth == labels)].astype(np.int64), minlength=n_classes)
    return {k: 2 * int(both[k]) / int(a[k] + b[k]) for k in range(n_classes) if a[k]}


def match_objects(truth: Labels, labels: Labels, threshold: float = 0.5, mask: Mask | None = None) -> Matches:
    """Match objects one to one by their overlap.

    Parameters
    ----------
    truth, labels : ndarray of int, same shape
        Object ids, 0 is the background.
    threshold : float
        Pairs with at least this IoU match, 0 to 1; the matching has as many pairs as possible.
    mask : ndarray of bool, optional
        Voxels that count. An object that lies for more than half of itself outside is left out on
        either side; of the others only what lies inside is compared.

    Returns
    -------
    Matches
        Counts, from which AP, F1, precision and recall follow.
    """
    from scipy.optimize import linear_sum_assignment  # slow to import, and the panel opens at once

    if mask is not None:
        truth, labels = _mostly_inside(truth, mask), _mostly_inside(labels, mask)
    first, second, _, overlap = count_overlaps(truth, labels, mask).objects()
    n_truth, n_labels = _count(truth, mask), _count(labels, mask)
    good = overlap >= threshold
    rows, row = np.unique(first[good], return_inverse=True)
    columns, column = np.unique(second[good], return_inverse=True)
    if row.size == rows.size == columns.size:  # nobody has two partners
        hits = int(good.sum())
    else:
        table = np.zeros((rows.size, columns.size))
        table[row, column] = 1 + overlap[good]
        chosen = linear_sum_assignment(table, maximize=True)
        hits = int((table[chosen] > 0).sum())
    return Matches(hits, n_labels - hits, n_truth - hits)


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


def _foreground(labels: Labels, mask: Mask | None) -> Mask:
    found: Mask = labels > 0
    return found if mask is None else found & mask


def _count(labels: Labels, mask: Mask | None) -> int:
    values = np.unique(labels if mask is None else labels[mask])
    return int((values > 0).sum())


def _mostly_inside(labels: Labels, mask: Mask) -> Labels:
    """Set objects to 0 that lie for more than half of themselves outside the mask."""
    values, inverse = np.unique(labels, return_inverse=True)
    inverse = inverse.reshape(labels.shape)
    sizes = np.bincount(inverse.ravel(), minlength=values.size)
    within = np.bincount(inverse[mask], minlength=values.size)
    return np.where(2 * within >= sizes, values, 0)[inverse]
