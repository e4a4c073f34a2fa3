"""What differs between two predictions of the same place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_unet.learning.overlap import best_partner, count_overlaps

Labels = npt.NDArray[Any]
ChangeMap = npt.NDArray[np.uint8]

SAME, GAINED, LOST, CHANGED = 0, 1, 2, 3  # values of a change map
SAME_OBJECT = 0.5  # IoU from which two objects are the same one
UNCHANGED = 0.9  # IoU from which it did not change


@dataclass(frozen=True)
class Counts:
    """How much was gained, lost, changed and stayed: objects, or voxels of a class.

    For a class, ``changed`` is 0: a voxel that changes its class is lost to one and gained by another.
    """

    gained: int = 0
    lost: int = 0
    changed: int = 0
    same: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.gained + other.gained,
            self.lost + other.lost,
            self.changed + other.changed,
            self.same + other.same,
        )


def object_changes(before: Labels, after: Labels) -> tuple[ChangeMap, Counts]:
    """Compare objects.

    Two objects are the same one if each is the other's best partner with an IoU of at least 0.5; below 0.9 it
    has changed, and the voxels by which the two differ are marked. Other objects are gained or lost as a whole;
    a voxel of a lost and a gained one is marked as changed.

    Parameters
    ----------
    before, after : ndarray of int, same shape
        Object ids, 0 is the background.

    Returns
    -------
    ndarray of uint8, same shape
        `SAME`, `GAINED`, `LOST` or `CHANGED`.
    Counts
        Of objects.
    """
    olds, news = np.unique(before[before > 0]), np.unique(after[after > 0])
    old, new, _, iou = count_overlaps(before, after).objects()
    pair = best_partner(old, iou, new) & best_partner(new, iou, old) & (iou >= SAME_OBJECT)
    moved = pair & (iou < UNCHANGED)
    lost = np.isin(before, np.setdiff1d(olds, old[pair]))
    gained = np.isin(after, np.setdiff1d(news, new[pair]))
    partner = np.zeros(int(before.max(initial=0)) + 1, np.int64)
    partner[old[moved]] = new[moved]
    ours, theirs = partner[before], np.where(np.isin(after, new[moved]), after, 0)
    found = np.zeros(before.shape, np.uint8)
    found[ours != theirs] = CHANGED
    found[lost] = LOST
    found[gained] = GAINED
    found[lost & gained] = CHANGED
    n_pairs, n_moved = int(pair.sum()), int(moved.sum())
    return found, Counts(news.size - n_pairs, olds.size - n_pairs, n_moved, n_pairs - n_moved)


def class_changes(before: Labels, after: Labels, n_classes: int) -> tuple[ChangeMap, tuple[Counts, ...]]:
    """Compare classes, voxel by voxel.

    Parameters
    ----------
    before, after : ndarray of int, same shape
        Class indices, 0 is the background.
    n_classes : int
        The background included.

    Returns
    -------
    ndarray of uint8, same shape
        `GAINED` where background became a class, `LOST` where a class became background, `CHANGED` from class to class.
    tuple of Counts
        Voxels of each class, the background first.
    """
    differ = before != after
    found = np.zeros(before.shape, np.uint8)
    found[differ] = CHANGED
    found[differ & (before == 0)] = GAINED
    found[differ & (after == 0)] = LOST
    gained, lost, same = (
        np.bincount(values.astype(np.int64), minlength=n_classes)
        for values in (after[differ], before[differ], after[~differ])
    )
    return found, tuple(Counts(int(gained[k]), int(lost[k]), 0, int(same[k])) for k in range(n_classes))


def objects_sentence(counts: Counts) -> str:
    """Return what changed among objects, in words.

    Examples
    --------
    >>> objects_sentence(Counts(12, 3, 5, 40))
    '12 objects new, 3 gone, 5 changed, 40 the same'
    >>> objects_sentence(Counts(same=1))
    'nothing changed (1 object)'
    """
    total = counts.gained + counts.lost + counts.changed
    if total == 0:
        return f"nothing changed ({_objects(counts.same)})"
    return f"{_objects(counts.gained)} new, {counts.lost} gone, {counts.changed} changed, {counts.same} the same"


def classes_sentence(counts: Sequence[Counts], names: Sequence[str]) -> str:
    """Return what changed among classes, in words.

    Examples
    --------
    >>> classes_sentence((Counts(5, 10, 0, 85), Counts(10, 5, 0, 0)), ("background", "cell"))
    '15.0 % of the pixels changed: cell +10 −5'
    >>> classes_sentence((Counts(same=9), Counts(same=1)), ("background", "cell"))
    'nothing changed'
    """
    moved = sum(count.gained for count in counts)
    if moved == 0:
        return "nothing changed"
    share = moved / (moved + sum(count.same for count in counts))
    parts = [
        f"{name} +{count.gained:,} −{count.lost:,}"
        for name, count in list(zip(names, counts, strict=True))[1:]
        if count.gained or count.lost
    ]
    return f"{share:.1%} of the pixels changed: {', '.join(parts)}".replace("%", " %", 1)


def _objects(number: int) -> str:
    return "1 object" if number == 1 else f"{number} objects"
