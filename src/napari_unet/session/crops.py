"""Snapshots of what is known, cut out of labels: what teaches, and what is only measured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from napari_unet.image.boxes import Box, as_box, extent, grow, inside, overlap
from napari_unet.learning.audit import audited
from napari_unet.learning.samples import CONTEXT, MIN_BLOCK_VOXELS, crop_boxes
from napari_unet.session.state import LabelState
from napari_unet.session.training_tasks import KnownCrop

Place = tuple[int, Box]
MOST_PLANES = 4  # of a region that a 2D model is measured on


def known_crops(labels: LabelState, ndim: int, hidden: Sequence[Place]) -> Iterator[KnownCrop]:
    """Yield crops around everything known that may teach.

    Parameters
    ----------
    labels : LabelState
        Of one image.
    ndim : {2, 3}
        Spatial dimensions of the network.
    hidden : sequence of (int, Box)
        Random regions: with a gap around them they are unknown in the crops, and hold the prediction.
    """
    truth = labels.truth
    for t in range(truth.labels.shape[0]):
        if truth.known_box(t) is None:
            continue
        for box in crop_boxes(truth.known[t], ndim):
            values = truth.labels[t][box].astype(np.int64)
            known, changed = truth.known[t][box].copy(), truth.changed[t][box].copy()
            secret = audited(hidden, t, box)
            if secret.any():
                known &= ~secret
                changed &= ~secret
                values[secret] = truth.prediction[t][box][secret]
                if not known.any():
                    continue
            yield KnownCrop(t, box, values, known, changed, predicted(labels, t, box) & ~secret)


def region_crops(labels: LabelState, ndim: int, place: Place, hidden: Sequence[Place] = ()) -> Iterator[KnownCrop]:
    """Yield crops, with context, in which only what is known inside one region counts.

    Parameters
    ----------
    labels : LabelState
        Of one image.
    ndim : {2, 3}
        Spatial dimensions of the network; a 2D model gets some planes, evenly spread.
    place : (int, Box)
        The region.
    hidden : sequence of (int, Box)
        Random regions, which do not count.
    """
    truth, (t, box) = labels.truth, place
    parts = [box]
    if ndim == 2:
        planes = range(box[0].start, box[0].stop)
        some = planes[:: -(-len(planes) // MOST_PLANES)]
        parts = [(slice(z, z + 1), box[1], box[2]) for z in some]
    for part in parts:
        around = grow(part, CONTEXT[ndim], truth.shape)
        part = as_box([max(p.start, a.start) for p, a in zip(part, around, strict=True)], [p.stop for p in part])
        known = np.zeros(extent(around), bool)
        known[inside(part, around)] = truth.known[t][part] & ~audited(hidden, t, part)
        if np.count_nonzero(known) >= MIN_BLOCK_VOXELS:
            values = truth.labels[t][around].astype(np.int64)
            yield KnownCrop(t, around, values, known, np.zeros_like(known), np.zeros_like(known))


def predicted(labels: LabelState, t: int, box: Box) -> npt.NDArray[np.bool_]:
    """Return where in a box the last segmentation showed a prediction, of the box's shape."""
    found = np.zeros(extent(box), bool)
    for time, frame in labels.frames:
        common = overlap(frame, box) if time == t else None
        if common is not None:
            found[inside(common, box)] = True
    return found
