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
        Voxels that agree, that are true and that were found, for each class; for objects these of the
        foreground, then objects found, invented and missed at an IoU of 0.5.
    """
    if output.instances:
        a, b = truth[mask] > 0, found[mask] > 0
        matches = match_objects(truth, found, 0.5, mask)
        objects = (matches.true_positives, matches.false_positives, matches.false_negatives)
        return np.array([(a & b).sum(), a.sum(), b.sum(), *objects], np.int64)
    n = len(output.classes)
    a, b = truth[mask].astype(np.int64), found[mask].astype(np.int64)
    if output.kind == "binary":
        a, b = np.minimum(a, 1), np.minimum(b, 1)
    n = max(n, int(a.max(initial=0)) + 1, int(b.max(initial=0)) + 1)
    return np.concatenate([np.bincount(part, minlength=n)[:n] for part in (a[a == b], a, b)])


def pooled(total: Counts, output: Output) -> float:
    """Return the score of counts, 0 to 1.

    For classes it is the mean Dice coefficient of those that are true somewhere; for objects the mean of the
    foreground's Dice coefficient and of TP / (TP + FP + FN): the first alone does not see that two objects grew
    together. 1 if there is nothing on either side.
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
    return np.ones(1, bool) if output.instances else total.reshape(3, -1)[1] > 0


def _parts(
    total: Counts,
    output: Output,
    present: npt.NDArray[np.bool_],
    empty: npt.NDArray[np.float64] | float = 1.0,
) -> npt.NDArray[np.float64]:
    """Return the Dice coefficient of each class, or Dice and AP of objects; `empty` where there is nothing."""
    if output.instances:
        both, true, found, hits, invented, missed = total.tolist()
        above, below = np.array([2 * both, hits]), np.array([true + found, hits + invented + missed])
    else:
        table = total.reshape(3, -1)[:, present]
        above, below = 2 * table[0], table[1] + table[2]
    return np.where(below > 0, above / np.maximum(below, 1), empty)
