"""All measures of an image by name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_unet.learning.evaluation.boundaries import TOLERANCE, BoundaryCounts, count_boundaries
from napari_unet.learning.evaluation.matching import THRESHOLDS, match_pairs, panoptic_quality
from napari_unet.learning.evaluation.mistakes import find_mistakes
from napari_unet.learning.evaluation.partitions import adapted_rand_error, variation_of_information
from napari_unet.learning.evaluation.voxels import class_counts, foreground_counts, share
from napari_unet.learning.overlap import Overlaps, count_overlaps

Labels = npt.NDArray[Any]
Scores = dict[str, float]


def object_scores(
    truth: Labels, labels: Labels, tolerance: float = TOLERANCE, spacing: Sequence[float] | None = None
) -> Scores:
    """Return the scores of objects by name.

    Parameters
    ----------
    truth, labels : ndarray of int, same shape
        Object ids below 2³², 0 is the background; (Y, X), (Z, Y, X), or (T, Z, Y, X), whose objects are matched time
        point by time point and counted together.
    tolerance, spacing
        Of boundaries, see `count_boundaries`; `spacing` is that of the spatial axes.

    Returns
    -------
    dict of str to float
        ``dice`` and ``iou`` of the foreground; ``precision``, ``recall`` and ``f1`` of objects at an IoU of 0.5;
        ``ap_50`` to ``ap_95`` and their mean ``ap``; ``pq``; ``boundary_f1``; ``vi_split`` and ``vi_merge`` in bits;
        ``rand_error``; the numbers of true and found ``objects`` and ``found`` and of ``missed``, ``invented``,
        ``split`` and ``merged``. What cannot be measured is NaN: of splits and merges, in an image without objects.

    Examples
    --------
    >>> truth = np.array([[1, 1, 0, 2, 2, 2]])
    >>> found = object_scores(truth, np.array([[7, 7, 0, 8, 8, 0]]))
    >>> found["f1"], found["ap_75"], round(found["pq"], 3)
    (1.0, 0.3333333333333333, 0.833)
    """
    table = joined([count_overlaps(*frame) for frame in frames(truth, labels)])
    shared, true, found = foreground_counts(table)
    pairs = match_pairs(table)
    precise = {f"ap_{round(100 * t)}": match_pairs(table, t).matches.average_precision for t in THRESHOLDS}
    split, merge = variation_of_information(table)
    mistakes = find_mistakes(table)
    return {
        "dice": share(2 * shared, true + found),
        "iou": share(shared, true + found - shared),
        "precision": pairs.matches.precision,
        "recall": pairs.matches.recall,
        "f1": pairs.matches.f1,
        "ap": float(np.mean(list(precise.values()))),
        **precise,
        "pq": panoptic_quality(pairs),
        "boundary_f1": _boundaries(truth, labels, tolerance, spacing).f1,
        "vi_split": split,
        "vi_merge": merge,
        "rand_error": adapted_rand_error(table)[0],
        "objects": float(pairs.matches.true_positives + pairs.matches.false_negatives),
        "found": float(pairs.matches.true_positives + pairs.matches.false_positives),
        "missed": float(mistakes.missed.size),
        "invented": float(mistakes.invented.size),
        "split": float(mistakes.split.size),
        "merged": float(mistakes.merged.size),
    }


def class_scores(
    truth: Labels,
    labels: Labels,
    n_classes: int,
    tolerance: float = TOLERANCE,
    spacing: Sequence[float] | None = None,
) -> Scores:
    """Return the scores of classes by name.

    Parameters
    ----------
    truth, labels, tolerance, spacing
        See `object_scores`; values are classes, 0 is the background.
    n_classes : int
        How many there are, the background included.

    Returns
    -------
    dict of str to float
        ``dice`` and ``iou`` of the foreground; ``mean_dice`` and ``mean_iou`` over the classes that the truth holds,
        the background included, and ``boundary_f1`` over those without it; then for each of them ``dice_class_k``,
        ``iou_class_k``, ``precision_class_k``, ``recall_class_k`` and ``boundary_f1_class_k``.
    """
    table = joined([count_overlaps(*frame) for frame in frames(truth, labels)], classes=True)
    shared, true, found = foreground_counts(table)
    each: Scores = {}
    boundaries = []
    present = [k for k in range(n_classes) if class_counts(table, k)[1]]
    for k in present:
        both, a, b = class_counts(table, k)
        each[f"dice_class_{k}"] = share(2 * both, a + b)
        each[f"iou_class_{k}"] = share(both, a + b - both)
        each[f"precision_class_{k}"] = share(both, b)
        each[f"recall_class_{k}"] = share(both, a)
        if k:
            boundaries.append(_boundaries(truth == k, labels == k, tolerance, spacing).f1)
            each[f"boundary_f1_class_{k}"] = boundaries[-1]
    return {
        "dice": share(2 * shared, true + found),
        "iou": share(shared, true + found - shared),
        "mean_dice": float(np.mean([each[f"dice_class_{k}"] for k in present])),
        "mean_iou": float(np.mean([each[f"iou_class_{k}"] for k in present])),
        "boundary_f1": float(np.mean(boundaries)) if boundaries else np.nan,
        **each,
    }


def frames(truth: Labels, labels: Labels) -> Iterator[tuple[Labels, Labels]]:
    """Yield what is compared on its own: each time point of (T, Z, Y, X), else the whole; flat stacks as planes."""
    times = zip(truth, labels, strict=True) if truth.ndim == 4 else [(truth, labels)]
    for a, b in times:
        yield (a[0], b[0]) if a.ndim == 3 and len(a) == 1 else (a, b)


def joined(tables: Sequence[Overlaps], classes: bool = False) -> Overlaps:
    """Put the tables of several images together; objects of different images differ, classes are the same."""
    sides = []
    for side in ("first", "second"):
        ids = [getattr(table, side) for table in tables]
        if not classes:
            ids = [np.where(one > 0, one + (t << 32), 0) for t, one in enumerate(ids)]
        sides.append(np.concatenate(ids))
    return Overlaps(sides[0], sides[1], np.concatenate([table.count for table in tables]))


def _boundaries(truth: Labels, labels: Labels, tolerance: float, spacing: Sequence[float] | None) -> BoundaryCounts:
    counts = BoundaryCounts()
    for a, b in frames(truth, labels):
        counts += count_boundaries(a, b, tolerance, None if spacing is None else spacing[-a.ndim :])
    return counts
