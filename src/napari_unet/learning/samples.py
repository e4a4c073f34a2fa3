"""Where training data comes from: crops around what is known, and blocks held back for validation."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_unet.image.normalize import Normalization, Statistics, apply
from napari_unet.image.source import ImageSource
from napari_unet.learning.boxes import Box, clip, extent, grow, inside

Mask = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]

PATCH: dict[int, tuple[int, int, int]] = {2: (1, 128, 128), 3: (16, 96, 96)}
CONTEXT: dict[int, tuple[int, int, int]] = {2: (0, 32, 32), 3: (8, 32, 32)}
BLOCK: dict[int, tuple[int, int, int]] = {2: (1, 64, 64), 3: (16, 64, 64)}
GAP: dict[int, tuple[int, int, int]] = {2: (0, 16, 16), 3: (4, 16, 16)}
VALIDATION_SHARE = 0.2
MIN_BLOCKS = 2
MIN_BLOCK_VOXELS = 32
CHANGED_WEIGHT = 3.0


@dataclass(frozen=True, eq=False)
class TrainingRegion:
    """A crop of an image around something known.

    Parameters
    ----------
    image : ndarray of float32, (C, Z, Y, X)
        Normalized.
    labels : ndarray of int, (Z, Y, X)
        Classes or object ids.
    known : ndarray of bool, (Z, Y, X)
        Where the labels are the user's.
    weight : ndarray of float32, (Z, Y, X), or None
        Weight of each voxel in the loss and the score; what the user changed counts more, and
        around a validation block it is 0.
    image_id : str
        Which image.
    t : int
        Time point.
    origin : tuple of int
        (z, y, x) of the crop's first voxel in the image.
    """

    image: Floats
    labels: npt.NDArray[Any]
    known: Mask
    weight: Floats | None
    image_id: str
    t: int
    origin: tuple[int, int, int]

    @property
    def box(self) -> Box:
        """Where the crop lies in the image."""
        z, y, x = (slice(start, start + n) for start, n in zip(self.origin, self.labels.shape, strict=True))
        return z, y, x

    def part(self, box: Box) -> TrainingRegion:
        """Return the crop of a box of the image that lies inside this crop."""
        local = inside(box, self.box)
        return replace(
            self,
            image=self.image[(slice(None), *local)],
            labels=self.labels[local],
            known=self.known[local],
            weight=None if self.weight is None else self.weight[local],
            origin=(box[0].start, box[1].start, box[2].start),
        )


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


def known_regions(
    source: ImageSource,
    statistics: Statistics,
    normalization: Normalization,
    labels: npt.NDArray[Any],
    known: Mask,
    *,
    image_id: str,
    ndim: int,
    changed: Mask | None = None,
) -> list[TrainingRegion]:
    """Cut crops around what is known in an image.

    The image is divided into cells of one patch; neighbouring cells with something known make one
    crop, with room for context. A 2D model gets one crop per plane, a 3D model one per volume.

    Parameters
    ----------
    source : ImageSource
        The image; only the crops are read.
    statistics, normalization : Statistics, Normalization
        How intensities become network inputs.
    labels : ndarray of int, (T, Z, Y, X)
        Classes or object ids.
    known : ndarray of bool, (T, Z, Y, X)
        Where they are the user's.
    image_id : str
        Name of the image in the work.
    ndim : {2, 3}
        Spatial dimensions of the network.
    changed : ndarray of bool, (T, Z, Y, X), optional
        Voxels that the user changed; they weigh more and are drawn more often.

    Returns
    -------
    list of TrainingRegion
        Empty if nothing is known. In the order of time, z, y, x.
    """
    regions = []
    for t in range(known.shape[0]):
        for box in crop_boxes(known[t], ndim):
            weight = None
            if changed is not None:
                weight = np.where(changed[t][box], np.float32(CHANGED_WEIGHT), np.float32(1))
            regions.append(
                TrainingRegion(
                    image=apply(source.read(t, box), statistics, normalization),
                    labels=labels[t][box].copy(),
                    known=known[t][box].copy(),
                    weight=weight,
                    image_id=image_id,
                    t=t,
                    origin=(box[0].start, box[1].start, box[2].start),
                )
            )
    return regions


def hold_back(regions: Sequence[TrainingRegion], ndim: int, seed: int = 0) -> Split:
    """Hold about one in five of the known blocks back for validation.

    The image is divided into fixed blocks of 64×64 (3D: 16×64×64) voxels. Whether a block validates
    depends only on the seed, the image and the block's place, so it never changes as the truth grows.
    Everything within 16 voxels (3D: 4 along z) of a validation block is left out of training::

        ┌───────────────┐
        │ train  ·······│·  gap: not used
        │        ·┌────┐│·
        │        ·│ val││·

    With fewer than two validation blocks, or if nothing would be left to train on, nothing is held back.

    Parameters
    ----------
    regions : sequence of TrainingRegion
        From all images.
    ndim : {2, 3}
        Spatial dimensions of the network.
    seed : int
        Of the work.

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
        box = clip(_block_box(index, BLOCK[ndim]), [part.stop for part in region.box])
        if n_known >= MIN_BLOCK_VOXELS:
            blocks.append(Block(image_id, t, box, n_known))
            validation.append(_validation_region(region, box, ndim))
    training = [_without(region, held, ndim) for region in regions]
    training = [region for region in training if region.known.any()]
    if len(blocks) < MIN_BLOCKS or not training:
        return Split(tuple(regions), (), ())
    return Split(tuple(training), tuple(validation), tuple(blocks))


def crop_boxes(known: Mask, ndim: int) -> Iterator[Box]:
    """Yield the (z, y, x) boxes of the crops around what is known at one time point, (Z, Y, X)."""
    patch = PATCH[ndim]
    shape = tuple(-(-n // p) for n, p in zip(known.shape, patch, strict=True))
    cells = np.zeros(shape, bool)
    for index in np.ndindex(*shape):
        cells[index] = known[_block_box(index, patch)].any()
    structure = np.ones((3, 3, 3), bool)
    if ndim == 2:
        structure[[0, 2]] = False
    groups, _ = ndimage.label(cells, structure)
    for group in ndimage.find_objects(groups):
        for part in _compact(cells, (group[0], group[1], group[2])):
            low, high = (_block_box([end(p) for p in part], patch) for end in (_first, _last))
            z, y, x = (slice(a.start, b.stop) for a, b in zip(low, high, strict=True))
            yield grow((z, y, x), CONTEXT[ndim], known.shape)


def _first(part: slice) -> int:
    return int(part.start)


def _last(part: slice) -> int:
    return int(part.stop) - 1


def _compact(cells: Mask, box: Box) -> Iterator[Box]:
    """Divide a box of cells until at least half of each part holds something."""
    filled = cells[box]
    if not filled.any():
        return
    if filled.mean() >= 0.5:
        yield box
        return
    axis = int(np.argmax(filled.shape))
    middle = (box[axis].start + box[axis].stop) // 2
    for part in (slice(box[axis].start, middle), slice(middle, box[axis].stop)):
        ends = list(box)
        ends[axis] = part
        yield from _compact(cells, (ends[0], ends[1], ends[2]))


def _block_box(index: Sequence[int], size: tuple[int, int, int]) -> Box:
    z, y, x = (slice(i * n, (i + 1) * n) for i, n in zip(index, size, strict=True))
    return z, y, x


def _known_blocks(region: TrainingRegion, size: tuple[int, int, int]) -> Iterator[tuple[tuple[int, int, int], int]]:
    """Yield the index and the known voxels of every block that a crop meets."""
    ranges = [range(p.start // n, -(-p.stop // n)) for p, n in zip(region.box, size, strict=True)]
    for z in ranges[0]:
        for y in ranges[1]:
            for x in ranges[2]:
                local = _shifted(_block_box((z, y, x), size), region)
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
                slice(p.start - g, p.stop + g) for p, g in zip(_block_box(index, BLOCK[ndim]), GAP[ndim], strict=True)
            ]
            known[_shifted((wide[0], wide[1], wide[2]), region)] = False
    return replace(region, known=known)
