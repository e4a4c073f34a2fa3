"""The regions that a piece of work began with: later models must not lose them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from napari_unet.image.boxes import Box, as_box, overlap
from napari_unet.learning.prequential import ClosedRegion

GUARD_REGIONS = 8
GUARD_VOXELS = 256  # known ones, at least
GUARD_SIZE = (16, 128, 128)  # (z, y, x), at most: scoring them must not eat the budget


@dataclass(frozen=True)
class GuardRegion:
    """Where a guard region lies; its labels are those of the truth."""

    image_id: str
    t: int
    box: Box


def guard_region(closed: ClosedRegion, others: Sequence[GuardRegion]) -> GuardRegion | None:
    """Return a guard region around the middle of what the user corrected or accepted.

    None once there are `GUARD_REGIONS`, if too little is known there, or if it would lie over another one.

    Parameters
    ----------
    closed : ClosedRegion
        What the user has just left.
    others : sequence of GuardRegion
        Those that there are.
    """
    if len(others) >= GUARD_REGIONS:
        return None
    places = np.nonzero(closed.mask)
    starts, stops = [], []
    for part, place, size in zip(closed.box, places, GUARD_SIZE, strict=True):
        if place.size == 0:
            return None
        low = part.start + int(np.median(place)) - size // 2
        low = max(part.start, min(low, part.stop - size))
        starts.append(low)
        stops.append(min(low + size, part.stop))
    box = as_box(starts, stops)
    local = tuple(slice(p.start - o.start, p.stop - o.start) for p, o in zip(box, closed.box, strict=True))
    if np.count_nonzero(closed.mask[local]) < GUARD_VOXELS:
        return None
    for other in others:
        if (other.image_id, other.t) == (closed.image_id, closed.t) and overlap(other.box, box) is not None:
            return None
    return GuardRegion(closed.image_id, closed.t, box)
