"""Objects that match: precision, recall, F1, average precision and panoptic quality."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_unet.learning.evaluation.voxels import Labels, Mask, share
from napari_unet.learning.overlap import Overlaps, count_overlaps

Ids = npt.NDArray[np.int64]

THRESHOLDS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))  # IoU, as in the Data Science Bowl 2018


@dataclass(frozen=True)
class Matches:
    """Objects found (true positives), invented (false positives) and missed (false negatives)."""

    true_positives: int
    false_positives: int
    false_negatives: int

    @property
    def precision(self) -> float:
        """Share of the predicted objects that are true; 1 if there are none."""
        return share(self.true_positives, self.true_positives + self.false_positives)

    @property
    def recall(self) -> float:
        """Share of the true objects that were found; 1 if there are none."""
        return share(self.true_positives, self.true_positives + self.false_negatives)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; 1 if there is nothing on either side."""
        double = 2 * self.true_positives
        return share(double, double + self.false_positives + self.false_negatives)

    @property
    def average_precision(self) -> float:
        """TP / (TP + FP + FN); 1 if there is nothing on either side.

        As in the Data Science Bowl 2018 (Caicedo et al., *Nature Methods* 16, 2019); not the area below a curve
        of precision and recall, which objects without a confidence do not have.
        """
        return share(self.true_positives, self.true_positives + self.false_positives + self.false_negatives)

    def __add__(self, other: Matches) -> Matches:
        return Matches(
            self.true_positives + other.true_positives,
            self.false_positives + other.false_positives,
            self.false_negatives + other.false_negatives,
        )


@dataclass(frozen=True, eq=False)
class Pairs:
    """Objects matched one to one.

    Parameters
    ----------
    truth, labels : ndarray of int64, (n,)
        Ids of the pairs.
    iou : ndarray of float64, (n,)
        Their intersection over union.
    matches : Matches
        Counts, those without a partner included.
    """

    truth: Ids
    labels: Ids
    iou: npt.NDArray[np.float64]
    matches: Matches


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
    table = count_overlaps(truth, labels, mask)
    if mask is not None:
        first = np.where(np.isin(table.first, _mostly_outside(truth, mask)), 0, table.first)
        second = np.where(np.isin(table.second, _mostly_outside(labels, mask)), 0, table.second)
        table = Overlaps(first, second, table.count)
    return match_pairs(table, threshold).matches


def match_pairs(table: Overlaps, threshold: float = 0.5) -> Pairs:
    """Match objects one to one by their overlap: as many pairs as possible, and among these the best ones.

    Parameters
    ----------
    table : Overlaps
        Of truth and labels.
    threshold : float
        Pairs with at least this IoU match, 0 to 1. Above a half nobody has two partners to choose from.
    """
    first, second, _, overlap = table.objects()
    good = overlap >= threshold
    first, second, overlap = first[good], second[good], overlap[good]
    rows, row = np.unique(first, return_inverse=True)
    columns, column = np.unique(second, return_inverse=True)
    if not row.size == rows.size == columns.size:
        kept = _assigned(row, column, overlap, (rows.size, columns.size))
        first, second, overlap = first[kept], second[kept], overlap[kept]
    n_truth, n_labels = (int(np.unique(side[side > 0]).size) for side in (table.first, table.second))
    hits = int(first.size)
    return Pairs(first, second, overlap, Matches(hits, n_labels - hits, n_truth - hits))


def panoptic_quality(pairs: Pairs) -> float:
    """Return the panoptic quality of one class of objects; 1 if there is nothing on either side.

    ``Σ IoU / (TP + FP / 2 + FN / 2)`` over pairs matched at 0.5 (Kirillov et al., *Panoptic Segmentation*, CVPR 2019).
    There a pair of exactly 0.5 does not match; here it does, as for every other measure.
    """
    matches = pairs.matches
    unmatched = matches.false_positives + matches.false_negatives
    return share(float(pairs.iou.sum()), matches.true_positives + unmatched / 2)


def _assigned(row: Ids, column: Ids, overlap: npt.NDArray[Any], shape: tuple[int, int]) -> Ids:
    """Return which entries are the pairs of the best assignment."""
    from scipy.optimize import linear_sum_assignment  # slow to import, and the panel opens at once

    # One more pair outweighs whatever overlap it costs.
    table = np.zeros(shape)
    table[row, column] = 1 + overlap / (2 * min(shape))
    entry = np.full(shape, -1)
    entry[row, column] = np.arange(row.size)
    chosen = entry[linear_sum_assignment(table, maximize=True)]
    return np.sort(chosen[chosen >= 0])


def _mostly_outside(labels: Labels, mask: Mask) -> Ids:
    """Return the objects that lie for more than half of themselves outside the mask."""
    table = count_overlaps(labels, mask)
    values, sizes = table.sizes("first")
    within = np.zeros(values.size, np.int64)
    inside = table.second > 0
    within[np.searchsorted(values, table.first[inside])] = table.count[inside]
    return values[2 * within < sizes]
