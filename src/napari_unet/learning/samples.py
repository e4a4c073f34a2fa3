"""Where training data comes from: crops around what is known, and blocks held back for validation."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from napari_unet.image.boxes import Box, clip, extent
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

BLOCK: dict[int, tuple[int, int, int]] = {2: (1, 64, 64), 3: (16, 64, 64)}
GAP: dict[int, tuple[int, int, int]] = {2: (0, 16, 16), 3: (4, 16, 16)}
VALIDATION_SHARE = 0.2
MIN_BLOCKS = 2
MIN_BLOCK_VOXELS = 32


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
    """Regions to train on, regions to validate on (one a block, same order) and the blocks."""

    training: tuple[TrainingRegion, ...]
    validation: tuple[TrainingRegion, ...]
    blocks: tuple[Block, ...]


def hold_back(regions: Sequence[TrainingRegion], ndim: int, seed: int = 0, output: Output | None = None) -> Split:
    """Hold about one in five of the known blocks back for validation.

    The image is divided into fixed blocks of 64×64 (3D: 16×64×64) voxels. Whether a block validates
    depends only on the seed, the image and the block's place, so it never changes as the truth grows.
    Everything within 16 voxels (3D: 4 along z) of a validation block is left out of training::

        ┌───────────────┐
        │ train  ·······│·  gap: not used
        │        ·┌────┐│·
        │        ·│ val││·

    Nothing is held back with fewer than two validation blocks, or if that would take a whole class or more
    than half of what is known away from training.

    Parameters
    ----------
    regions : sequence of TrainingRegion
        From all images.
    ndim : {2, 3}
        Spatial dimensions of the network.
    seed : int
        Of the work.
    output : Output, optional
        Tells classes from objects; without it labels are only background or not.

    Returns
    -------
    Split
    """
    held: dict[tuple[str, int, tuple[int, int, int]], tuple[int, TrainingRegion]] = {}
    for region in regions:
        for index, n_known in _known_blocks(region, BLOCK[ndim]):
            key = (region.image_id, region.t, index)
            # Crops may overlap: a block belongs to the crop that sees most of it.
            if _validates(seed, *key) and n_known > held.get(key, (0, region))[0]:
                held[key] = (n_known, region)
    blocks, validation = [], []
    for (image_id, t, index), (n_known, region) in sorted(held.items(), key=lambda item: item[0]):
        box = clip(cell_box(index, BLOCK[ndim]), [part.stop for part in region.box])
        if n_known >= MIN_BLOCK_VOXELS:
            blocks.append(Block(image_id, t, box, n_known))
            validation.append(_validation_region(region, box, ndim))
    training = [_without(region, held, ndim) for region in regions]
    training = [region for region in training if region.known.any()]
    if len(blocks) < MIN_BLOCKS or not _enough(training, regions, output):
        return Split(tuple(regions), (), ())
    return Split(tuple(training), tuple(validation), tuple(blocks))


def _enough(training: Sequence[TrainingRegion], regions: Sequence[TrainingRegion], output: Output | None) -> bool:
    """Whether training keeps every class and at least half of the known voxels."""
    semantic = output is not None and output.kind == "classes"
    counts = []
    for part in (training, regions):
        values = [r.labels[r.known] if semantic else r.labels[r.known] > 0 for r in part]
        counts.append(np.unique(np.concatenate([*values, np.empty(0, int)]), return_counts=True))
    (left, n_left), (known, n_known) = counts
    return np.array_equal(left, known) and 2 * int(n_left.sum()) >= int(n_known.sum())


def _known_blocks(region: TrainingRegion, size: tuple[int, int, int]) -> Iterator[tuple[tuple[int, int, int], int]]:
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


def _validates(seed: int, image_id: str, t: int, index: tuple[int, int, int]) -> bool:
    digest = hashlib.sha256(f"{seed}|{image_id}|{t}|{index}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64 < VALIDATION_SHARE


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


def _without(
    region: TrainingRegion, held: dict[tuple[str, int, tuple[int, int, int]], tuple[int, TrainingRegion]], ndim: int
) -> TrainingRegion:
    """Return a crop in which the validation blocks and the gap around them are unknown."""
    known = region.known.copy()
    for image_id, t, index in held:
        if (image_id, t) == (region.image_id, region.t):
            wide = [
                slice(p.start - g, p.stop + g) for p, g in zip(cell_box(index, BLOCK[ndim]), GAP[ndim], strict=True)
            ]
            known[_shifted((wide[0], wide[1], wide[2]), region)] = False
    return replace(region, known=known)
