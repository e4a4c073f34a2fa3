"""Object ids from one prediction to the next."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from napari_unet.image.boxes import Box, whole
from napari_unet.learning.overlap import best_partner, count_overlaps
from napari_unet.learning.truth import Truth

MIN_IOU = 0.5
MIN_KNOWN_IOU = 0.25


def inherit_ids(
    new_labels: npt.NDArray[Any],
    truth: Truth,
    t: int,
    box: Box | None = None,
    previous: npt.NDArray[Any] | None = None,
) -> npt.NDArray[np.int64]:
    """Find an id for every object of a new prediction.

    In this order:

    1. An object that lies for more than half of itself on one known object, or that is its mutual best
       partner (IoU ≥ 0.25), takes its id; writing it clips it to the unknown.
    2. An object that is the mutual best partner of an object on screen (IoU ≥ 0.5) takes its id.
    3. The others get ids that were never used.

    Parameters
    ----------
    new_labels : ndarray of int, (Z, Y, X)
        New objects, numbered in any way; 0 is the background.
    truth : Truth
        The truth that they will be written into.
    t : int
        Time point.
    box : Box, optional
        Where `new_labels` lies; the whole time point when omitted.
    previous : ndarray of int, (Z, Y, X), optional
        Labels to inherit from in step 2 instead of those on screen, for example of the time point before.

    Returns
    -------
    ndarray of int64, (largest new label + 1,)
        Lookup table: ``table[new_labels]`` are the labels to write, all at once or chunk by chunk.

    Notes
    -----
    Deterministic. Time and memory grow with the number of voxels and of overlapping pairs, not with the
    product of the numbers of objects.
    """
    box = whole(truth.shape) if box is None else box
    labels, known = truth.labels[t][box], truth.known[t][box]
    table = np.zeros(int(new_labels.max(initial=0)) + 1, np.int64)
    objects = np.flatnonzero(np.bincount(new_labels.ravel(), minlength=table.size))
    objects = objects[objects > 0]

    # 1. What the user said comes first. Unknown voxels count as background on the known side only.
    sizes = np.bincount(new_labels.ravel(), minlength=table.size)
    new, old, shared, iou = count_overlaps(new_labels, np.where(known, labels, 0)).objects()
    mostly = (shared > 0.5 * sizes[new]) & best_partner(new, shared.astype(float), old)
    mutual = best_partner(new, iou, old) & best_partner(old, iou, new) & (iou >= MIN_KNOWN_IOU)
    table[new[mutual]] = old[mutual]
    table[new[mostly]] = old[mostly]
    taken = np.unique(table[table > 0])

    # 2. What was on screen.
    new, old, _, iou = count_overlaps(new_labels, labels if previous is None else previous).objects()
    free = (table[new] == 0) & ~np.isin(old, taken)
    new, old, iou = new[free], old[free], iou[free]
    keep = best_partner(new, iou, old) & best_partner(old, iou, new) & (iou >= MIN_IOU)
    table[new[keep]] = old[keep]

    # 3. The rest is new.
    fresh = objects[table[objects] == 0]
    if fresh.size:
        table[fresh] = truth.next_id(fresh.size) + np.arange(fresh.size)
    return table
