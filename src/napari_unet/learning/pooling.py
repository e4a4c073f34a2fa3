"""One score from many blocks: what is right and wrong in them is added up first, and divided once.

The mean of the scores of single blocks is a bad measure where blocks are small: a block that holds no object scores 1
for a model that finds nothing anywhere and 0 for one false object, and one with five voxels of a class counts as
much as one with thousands.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_unet.learning.evaluation import match_objects
from napari_unet.model.header import Output

Counts = npt.NDArray[np.int64]


def count(truth: npt.NDArray[Any], found: npt.NDArray[Any], mask: npt.NDArray[np.bool_], output: Output) -> Counts:
    """Count what agrees inside a mask.

    Parameters
    ----------
    truth, found : ndarray of int, same shape
        Classes or object ids.
    mask : ndarray of bool
        Voxels that count.
    output : Output
        Which of the two.

    Returns
    -------
    ndarray of int
        Voxels that agree, that are true and that were found, for each class; for objects these of background and
        foreground, then objects found, invented and missed at an IoU of 0.5.
    """
    a, b = truth[mask].astype(np.int64), found[mask].astype(np.int64)
    semantic = output.kind == "classes"
    n = len(output.classes) if semantic else 2
    a, b = (np.minimum(part, n - 1) for part in (a, b))
    voxels = [np.bincount(part, minlength=n) for part in (a[a == b], a, b)]
    if not output.instances:
        return np.concatenate(voxels)
    matches = match_objects(truth, found, 0.5, mask)
    objects = (matches.true_positives, matches.false_positives, matches.false_negatives)
    return np.concatenate([*voxels, np.array(objects)])


def side_by_side(first: Counts, second: Counts) -> Counts:
    """Return the counts of classes in two masks, the classes of each apart: they are averaged over both."""
    return np.concatenate([first.reshape(3, -1), second.reshape(3, -1)], axis=1).ravel()


def pooled(total: Counts, output: Output) -> float:
    """Return the score of counts, 0 to 1.

    For classes it is the mean Dice coefficient of those that are true somewhere; for objects the mean of the
    foreground's Dice coefficient and of TP / (TP + FP + FN): the first alone does not see that two objects grew
    together. Where no object is true at all, the background's Dice coefficient stands for the foreground's, which
    would be 0 for one false voxel and for a thousand.
    """
    return float(np.mean(_parts(total, output, _true_somewhere(total, output))))


def shares(counts: Sequence[Counts], output: Output) -> tuple[float, ...]:
    """Return one value per block whose mean is the score of all blocks together.

    How far a value lies from the mean tells how much the score depends on that block (the jackknife's
    pseudo-values, Efron and Tibshirani, *An Introduction to the Bootstrap*, 1993, chapter 11). The difference of two
    models on the same blocks and its spread therefore follow as if these were scores of blocks. A value may lie
    outside 0 to 1.

    Parameters
    ----------
    counts : sequence of ndarray
        From `count`.
    output : Output
        What they count.
    """
    n = len(counts)
    if n == 0:
        return ()
    total = np.sum(counts, axis=0)
    present = _true_somewhere(total, output)
    score = pooled(total, output)
    whole = _parts(total, output, present)
    without = np.array([np.mean(_parts(total - one, output, present, whole)) for one in counts])
    return tuple((score + (n - 1) * (without.mean() - without)).tolist())


def _true_somewhere(total: Counts, output: Output) -> npt.NDArray[np.bool_]:
    """Return which classes count: those that are true; for objects the foreground, or else the background."""
    true: npt.NDArray[np.bool_] = _voxels(total, output)[1] > 0
    return np.array([not true[1], true[1]]) if output.instances else true


def _voxels(total: Counts, output: Output) -> Counts:
    """Return the voxels that agree, are true and were found, (3, classes)."""
    return (total[:-3] if output.instances else total).reshape(3, -1)


def _parts(
    total: Counts,
    output: Output,
    present: npt.NDArray[np.bool_],
    empty: npt.NDArray[np.float64] | float = 1.0,
) -> npt.NDArray[np.float64]:
    """Return the Dice coefficient of each class that counts, then AP of objects; `empty` where there is nothing."""
    both, true, found = _voxels(total, output)[:, present]
    above, below = 2 * both, true + found
    if output.instances:
        above, below = np.append(above, total[-3]), np.append(below, total[-3:].sum())
    return np.where(below > 0, above / np.maximum(below, 1), empty)
