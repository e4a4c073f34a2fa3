"""Where training data comes from: crops around what is known, and blocks held back for validation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_unet.image.boxes import Box, Triple, clip, extent, overlap
from napari_unet.learning.assignment import GAP, PLACE, Assignment, Place
from napari_unet.learning.regions import (
    CHANGED_WEIGHT,
    CONTEXT,
    PATCH,
    TrainingRegion,
    cell_box,
    crop_boxes,
    known_regions,
)
from napari_unet.model.header import Output

__all__ = [
    "BLOCK",
    "CHANGED_WEIGHT",
    "CONTEXT",
    "GAP",
    "PATCH",
    "Block",
    "Split",
    "TrainingRegion",
    "crop_boxes",
    "hold_back",
    "known_regions",
]

BLOCK: dict[int, Triple] = {2: (1, 64, 64), 3: PLACE}  # what gets a score: a plane of a place, or all of it
MIN_BLOCK_VOXELS = 32
SCORED_BLOCKS = 32  # at most, evenly spread: scoring must not eat the budget

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Block:
    """A block held back for validation: where it is and how many of its voxels are known."""

    image_id: str
    t: int
    box: Box
    n_known: int

    def __str__(self) -> str:
        z, y, x = self.box
        return f"{self.image_id} t={self.t} z={z.start} y={y.start} x={x.start}: {self.n_known} voxels"


@dataclass(frozen=True, eq=False)
class Split:
    """Regions to train on, regions to validate on (one a block, same order), the blocks, the roles of all places."""

    training: tuple[TrainingRegion, ...]
    validation: tuple[TrainingRegion, ...]
    blocks: tuple[Block, ...]
    assignment: Assignment = field(default_factory=Assignment)


def hold_back(
    regions: Sequence[TrainingRegion],
    ndim: int,
    seed: int = 0,
    output: Output | None = None,
    assignment: Assignment | None = None,
) -> Split:
    """Hold about one in five of the known places back for validation.

    The image is divided into fixed places of 16×64×64 (z, y, x) voxels over all time points. Places that have a
    role in `assignment` keep it; the others get one, by a hash of the seed, the image and the place. Everything
    within `GAP` voxels of a place that validates is left out of training::

        ┌───────────────┐
        │ train  ·······│·  gap: not used
        │        ·┌────┐│·
        │        ·│ val││·

    Nothing new is held back with fewer than six places, or where that would leave training less than half of what is
    known of a class.

    Parameters
    ----------
    regions : sequence of TrainingRegion
        From all images.
    ndim : {2, 3}
        Spatial dimensions of the network.
    seed : int
        Of the work; used where there is no assignment yet.
    output : Output, optional
        Tells classes from objects; without it labels are only background or not.
    assignment : Assignment, optional
        What earlier rounds decided. Hand in `Split.assignment` of the round before.

    Returns
    -------
    Split
        With at most `SCORED_BLOCKS` blocks, evenly spread over what validates.
    """
    before = assignment or Assignment(seed)
    remaining = _Remaining(regions, before, output)
    assigned = before.extended(remaining.places(), remaining.spare)
    training = [_without(region, assigned) for region in regions]
    held: dict[tuple[str, int, Triple], tuple[int, TrainingRegion]] = {}
    for region in regions:
        for index, n_known in _known_blocks(region, BLOCK[ndim]):
            key = (region.image_id, region.t, index)
            # Crops may overlap: a block belongs to the crop that sees most of it.
            if (
                assigned.role(place_of(region.image_id, index, ndim)) == "validation"
                and n_known > held.get(key, (0,))[0]
            ):
                held[key] = (n_known, region)
    blocks, validation = [], []
    for (image_id, t, index), (n_known, region) in spread(
        [item for item in sorted(held.items(), key=lambda item: item[0]) if item[1][0] >= MIN_BLOCK_VOXELS],
        SCORED_BLOCKS,
    ):
        box = clip(cell_box(index, BLOCK[ndim]), [part.stop for part in region.box])
        blocks.append(Block(image_id, t, box, n_known))
        validation.append(_validation_region(region, box, ndim))
    return Split(tuple(r for r in training if r.known.any()), tuple(validation), tuple(blocks), assigned)


def place_of(image_id: str, index: Triple, ndim: int) -> Place:
    """Return the place that a block lies in."""
    z, y, x = (i * n // size for i, n, size in zip(index, BLOCK[ndim], PLACE, strict=True))
    return Place(image_id, (z, y, x))


def spread(items: list[Any], count: int) -> list[Any]:
    """Return at most `count` items, evenly spread."""
    if len(items) <= count:
        return items
    return [items[i * len(items) // count] for i in range(count)]


class _Remaining:
    """What stays for training while one place after the other is held back."""

    def __init__(self, regions: Sequence[TrainingRegion], assignment: Assignment, output: Output | None) -> None:
        semantic = output is not None and output.kind == "classes"
        self._regions = regions
        self._kinds = [r.labels if semantic else np.minimum(r.labels, 1) for r in regions]
        self._known = [r.known & ~assignment.held_out(r.image_id, r.box) for r in regions]
        self._size = 1 + max((int(kind.max(initial=0)) for kind in self._kinds), default=0)
        nothing = np.zeros(self._size, np.int64)
        self._all = sum((self._count(k, r.known) for k, r in zip(self._kinds, regions, strict=True)), nothing)
        self._left = sum((self._count(k, m) for k, m in zip(self._kinds, self._known, strict=True)), nothing)

    def places(self) -> dict[Place, frozenset[int]]:
        """Return where something is known, and which classes are known there."""
        found: dict[Place, frozenset[int]] = {}
        for region, kind in zip(self._regions, self._kinds, strict=True):
            for index, _ in _known_blocks(region, PLACE):
                place = Place(region.image_id, index)
                local = _shifted(place.box, region)
                kinds = np.flatnonzero(self._count(kind[local], region.known[local])).tolist()
                found[place] = found.get(place, frozenset()) | frozenset(kinds)
        return found

    def spare(self, places: Sequence[Place]) -> bool:
        """Hold places back, unless that leaves less than half of what is known of a class."""
        taken: list[tuple[Mask, Mask]] = []
        lost = np.zeros(self._size, np.int64)
        for place in places:
            for region, kind, known in zip(self._regions, self._kinds, self._known, strict=True):
                if region.image_id == place.image_id and overlap(place.wide, region.box) is not None:
                    local = _shifted(place.wide, region)
                    window = known[local]
                    lost += self._count(kind[local], window)
                    taken.append((window, window.copy()))
                    window[:] = False
        enough = bool((2 * (self._left - lost) >= self._all).all())
        if enough:
            self._left -= lost
        else:
            for window, before in reversed(taken):
                window[:] = before
        return enough

    def _count(self, kind: npt.NDArray[Any], mask: Mask) -> npt.NDArray[np.int64]:
        """Count the voxels of each class inside a mask."""
        return np.bincount(kind[mask].astype(np.int64), minlength=self._size)


def _known_blocks(region: TrainingRegion, size: Triple) -> Iterator[tuple[Triple, int]]:
    """Yield the index and the known voxels of every block that a crop meets."""
    ranges = [range(p.start // n, -(-p.stop // n)) for p, n in zip(region.box, size, strict=True)]
    for z in ranges[0]:
        for y in ranges[1]:
            for x in ranges[2]:
                local = _shifted(cell_box((z, y, x), size), region)
                n_known = int(np.count_nonzero(region.known[local]))
                if n_known:
                    yield (z, y, x), n_known


def _shifted(box: Box, region: TrainingRegion) -> Box:
    """Return the part of a box of the image that lies in a crop, in the crop's coordinates."""
    moved = [slice(p.start - o, p.stop - o) for p, o in zip(box, region.origin, strict=True)]
    return clip(moved, region.labels.shape)


def _validation_region(region: TrainingRegion, block: Box, ndim: int) -> TrainingRegion:
    """Cut a block with context out of a crop; only the block itself has weight."""
    limits = region.box
    z, y, x = (
        slice(max(p.start - c, limit.start), min(p.stop + c, limit.stop))
        for p, c, limit in zip(block, CONTEXT[ndim], limits, strict=True)
    )
    part = region.part((z, y, x))
    weight = np.zeros(extent((z, y, x)), np.float32)
    weight[_shifted(block, part)] = 1
    return replace(part, weight=weight)


def _without(region: TrainingRegion, assignment: Assignment) -> TrainingRegion:
    """Return a crop in which what validates, and the gap around it, is unknown and teaches nothing."""
    teaches = ~assignment.held_out(region.image_id, region.box)
    return replace(region, known=region.known & teaches, soft=None if region.soft is None else region.soft * teaches)
