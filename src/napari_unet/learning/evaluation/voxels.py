"""Voxels that agree: Dice coefficient and intersection over union."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from napari_unet.learning.overlap import Overlaps

Labels = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]


def share(part: float, total: float) -> float:
    """Return a part of a total; 1 where there is nothing to be part of."""
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
        ``2 |A ∩ B| / (|A| + |B|)`` (Dice, *Ecology* 26, 1945); 1 if both are empty.
    """
    a, b = _foreground(truth, mask), _foreground(labels, mask)
    return share(2 * int((a & b).sum()), int(a.sum()) + int(b.sum()))


def iou(truth: Labels, labels: Labels, mask: Mask | None = None) -> float:
    """Return the intersection over union of the foreground (label > 0); 1 if both are empty.

    ``|A ∩ B| / |A ∪ B|`` (Jaccard, *New Phytologist* 11, 1912).
    """
    a, b = _foreground(truth, mask), _foreground(labels, mask)
    return share(int((a & b).sum()), int((a | b).sum()))


def class_dice(truth: Labels, labels: Labels, n_classes: int, mask: Mask | None = None) -> dict[int, float]:
    """Return the Dice coefficient of each class (background included) that the truth holds inside the mask."""
    inside = np.ones(truth.shape, bool) if mask is None else mask
    a = np.bincount(truth[inside].astype(np.int64), minlength=n_classes)
    b = np.bincount(labels[inside].astype(np.int64), minlength=n_classes)
    both = np.bincount(truth[inside & (truth == labels)].astype(np.int64), minlength=n_classes)
    return {k: 2 * int(both[k]) / int(a[k] + b[k]) for k in range(n_classes) if a[k]}


def foreground_counts(table: Overlaps) -> tuple[int, int, int]:
    """Return the foreground's voxels (label > 0): shared, of the truth, of the labels."""
    true, found = table.first > 0, table.second > 0
    return int(table.count[true & found].sum()), int(table.count[true].sum()), int(table.count[found].sum())


def class_counts(table: Overlaps, value: int) -> tuple[int, int, int]:
    """Return the voxels of a class: shared, of the truth, of the labels."""
    true, found = table.first == value, table.second == value
    return int(table.count[true & found].sum()), int(table.count[true].sum()), int(table.count[found].sum())


def _foreground(labels: Labels, mask: Mask | None) -> Mask:
    found: Mask = labels > 0
    return found if mask is None else found & mask
