"""Patches drawn where something is known, and their augmentation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_unet.learning.deformation import bent
from napari_unet.learning.samples import TrainingRegion
from napari_unet.learning.targets import BOUNDARY, targets
from napari_unet.model.header import Output

Floats = npt.NDArray[np.float32]
Size = tuple[int, int, int]

CHANGED_SHARE = 0.4  # of the patches are centred on what the user changed
MOST_CENTRES = 4096  # per crop and class
OBJECT_MARGIN = {2: (0, 2, 2), 3: (1, 2, 2)}  # what `targets` looks at around a voxel
SCALED_SHARE = 0.25
SCALE = 1.2
BENT_SHARE = 0.8
INTENSITY_SHARE = 0.5
BOUNDARY_WEIGHT = 2.0  # few voxels, but they keep touching objects apart


@dataclass(frozen=True, eq=False)
class Batch:
    """Patches: ``image`` (N, C, [Z], Y, X); ``target``, ``known`` and ``weight`` (N, [Z], Y, X).

    ``soft`` (N, channels, [Z], Y, X) are pseudo-labels, all 0 where there are none; None if nothing has any.
    """

    image: Floats
    target: npt.NDArray[np.int64]
    known: npt.NDArray[np.bool_]
    weight: Floats
    soft: Floats | None = None


@dataclass(frozen=True, eq=False)
class _Pool:
    """Possible patch centres of one kind: per crop its number, its voxels and how often it is drawn."""

    regions: npt.NDArray[np.int64]
    centres: tuple[npt.NDArray[np.int64], ...]
    chance: npt.NDArray[np.float64]


class Sampler:
    """Draws augmented patches from crops.

    Two in five patches are centred on a voxel that the user changed. The others are centred on a
    known voxel of a class drawn at random, so that a rare class comes as often as a common one, of
    any crop: what was corrected an hour ago is replayed along with the newest.

    Parameters
    ----------
    regions : sequence of TrainingRegion
        At least one known voxel among them.
    output : Output
        What the network's channels mean.
    ndim : {2, 3}
        Spatial dimensions of the network.
    augment : bool
        Flip, turn, scale and change intensities.
    bend : bool
        Deform elastically, too, which needs more steps than a quick refit has.
    """

    def __init__(
        self, regions: Sequence[TrainingRegion], output: Output, ndim: int, augment: bool = True, bend: bool = False
    ) -> None:
        self.teach(regions)
        self.output, self.ndim, self.augment, self.bend = output, ndim, augment, bend
        self._classes: list[_Pool] = []
        rng = np.random.default_rng(0)
        kinds = [r.labels if output.kind == "classes" else np.minimum(r.labels, 1) for r in regions]
        found = np.unique(np.concatenate([np.unique(k[r.known]) for k, r in zip(kinds, regions, strict=True)]))
        for value in found:
            masks = [r.known & (kind == value) for kind, r in zip(kinds, regions, strict=True)]
            self._classes.append(_pool(masks, rng))
        changed = [r.known & (r.weight > 1) if r.weight is not None else r.known & False for r in regions]
        self._changed = _pool(changed, rng) if any(mask.any() for mask in changed) else None

    def teach(self, regions: Sequence[TrainingRegion]) -> None:
        """Draw from the same crops with other pseudo-labels."""
        self.regions = regions
        self._taught = max((len(region.soft) for region in regions if region.soft is not None), default=0)

    def draw(self, count: int, size: Size, generator: np.random.Generator) -> Batch:
        """Draw patches.

        Parameters
        ----------
        count : int
            How many.
        size : tuple of int
            (z, y, x); z is 1 for a 2D network.
        generator : numpy.random.Generator
            The only source of chance.
        """
        images, goals, certain, weights, softs = [], [], [], [], []
        # Whether a voxel of an object is its boundary is told by its neighbours, also those beyond the patch.
        around = OBJECT_MARGIN[self.ndim] if self.output.instances else (0, 0, 0)
        wide = (size[0] + 2 * around[0], size[1] + 2 * around[1], size[2] + 2 * around[2])
        inner = tuple(slice(margin, margin + n) for margin, n in zip(around, size, strict=True))[3 - self.ndim :]
        for _ in range(count):
            image, labels, known, weight, soft = self._patch(wide, generator)
            if self.ndim == 2:
                labels, known, weight, image, soft = labels[0], known[0], weight[0], image[:, 0], soft[:, 0]
            target, known = targets(labels, known, self.output)
            image, target, known, weight = image[(..., *inner)], target[inner], known[inner], weight[inner]
            if self.output.instances:
                weight = np.where(target == BOUNDARY, np.float32(BOUNDARY_WEIGHT), np.float32(1)) * weight
            images.append(image)
            goals.append(target)
            certain.append(known)
            weights.append(weight)
            softs.append(soft[(..., *inner)])
        taught = np.stack(softs) if softs[0].size else None
        return Batch(np.stack(images), np.stack(goals), np.stack(certain), np.stack(weights), taught)

    def _patch(self, size: Size, generator: np.random.Generator) -> tuple[Any, ...]:
        pool = self._changed
        if pool is None or generator.random() >= CHANGED_SHARE:
            pool = self._classes[generator.integers(len(self._classes))]
        which = generator.choice(len(pool.regions), p=pool.chance)
        region = self.regions[pool.regions[which]]
        centre = np.unravel_index(generator.choice(pool.centres[which]), region.labels.shape)
        scaled = self.augment and generator.random() < SCALED_SHARE
        factor = SCALE ** generator.uniform(-1, 1) if scaled else 1.0
        source = (size[0], round(size[1] * factor), round(size[2] * factor))
        shape = region.labels.shape
        index = [_range(int(c), n, length, generator) for c, n, length in zip(centre, source, shape, strict=True)]
        cut = np.ix_(*index)
        image = region.image[np.ix_(np.arange(len(region.image)), *index)]
        labels, known = region.labels[cut], region.known[cut]
        weight = np.ones(labels.shape, np.float32) if region.weight is None else region.weight[cut]
        soft = np.zeros((self._taught, *labels.shape), np.float32)
        if region.soft is not None:
            soft = region.soft[np.ix_(np.arange(self._taught), *index)]
        if scaled:
            image = _resized(image, size[1:])
            rows, columns = (((np.arange(size[a]) + 0.5) * source[a] / size[a]).astype(int) for a in (1, 2))
            labels, known, weight, soft = (a[..., rows, :][..., columns] for a in (labels, known, weight, soft))
        if self.bend and generator.random() < BENT_SHARE:
            moved = bent(image, (labels, known, weight, soft), generator)
            if moved[2].any():  # a stroke of a single pixel may fall between the others
                image, labels, known, weight, soft = moved
        if self.augment:
            image, labels, known, weight, soft = _turned((image, labels, known, weight, soft), self.ndim, generator)
            image = _intensity(image, generator)
        return np.ascontiguousarray(image, np.float32), labels, known, weight, soft


def _pool(masks: Sequence[npt.NDArray[np.bool_]], rng: np.random.Generator) -> _Pool:
    regions, centres, counts = [], [], []
    for number, mask in enumerate(masks):
        where = np.flatnonzero(mask)
        if where.size:
            regions.append(number)
            counts.append(where.size)
            centres.append(where if where.size <= MOST_CENTRES else rng.choice(where, MOST_CENTRES, replace=False))
    # The square root: a large accepted view must not drown a small correction.
    chance = np.sqrt(np.asarray(counts, float))
    return _Pool(np.asarray(regions), tuple(centres), chance / chance.sum())


def _range(centre: int, n: int, length: int, generator: np.random.Generator) -> npt.NDArray[np.int64]:
    """Return the indices of `n` voxels around a centre that is not always in the middle; mirrored beyond the crop.

    ::

        length 4, n 6:   1 0 0 1 2 3 | 3 2 …
    """
    jitter = int(generator.integers(-(n // 4), n // 4 + 1))
    start = centre - n // 2 + jitter
    start = (length - n) // 2 if n >= length else min(max(start, 0), length - n)
    index = np.arange(start, start + n) % (2 * length)
    return np.where(index < length, index, 2 * length - 1 - index)


def _resized(image: Floats, size: tuple[int, int]) -> Floats:
    """Resample (C, Z, Y, X) in-plane by linear interpolation."""
    for axis, n in ((-2, size[0]), (-1, size[1])):
        length = image.shape[axis]
        place = np.clip((np.arange(n) + 0.5) * length / n - 0.5, 0, length - 1)
        low = np.minimum(place.astype(int), max(length - 2, 0))
        part = (place - low).astype(np.float32)[:, None] if axis == -2 else (place - low).astype(np.float32)
        high = np.minimum(low + 1, length - 1)
        image = np.take(image, low, axis) * (1 - part) + np.take(image, high, axis) * part
    return image


def _turned(arrays: tuple[Any, ...], ndim: int, generator: np.random.Generator) -> tuple[Any, ...]:
    """Flip and turn all arrays alike, in-plane; along z only flip."""
    turns, flip, flip_z = int(generator.integers(4)), generator.random() < 0.5, generator.random() < 0.5
    result = []
    for array in arrays:
        if array.shape[-1] == array.shape[-2] or turns % 2 == 0:
            array = np.rot90(array, turns, (-2, -1))
        array = array[..., ::-1] if flip else array
        result.append(array[..., ::-1, :, :] if flip_z and ndim == 3 else array)
    return tuple(result)


def _intensity(image: Floats, generator: np.random.Generator) -> Floats:
    """Change gamma, contrast, brightness and noise a little, each channel alike."""
    if generator.random() >= INTENSITY_SHARE:
        return image
    low, high = float(image.min()), float(image.max())
    span = high - low
    if span <= 0:
        return image
    image = ((image - low) / span) ** np.float32(1.3 ** generator.uniform(-1, 1)) * span + low
    image = image * np.float32(1.15 ** generator.uniform(-1, 1)) + np.float32(0.05 * span * generator.uniform(-1, 1))
    noise = generator.standard_normal(image.shape, np.float32)
    return image + np.float32(0.03 * span * generator.random()) * noise
