"""Crops of images around what is known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_unet.image.boxes import Box, grow, inside
from napari_unet.image.normalize import Normalization, Statistics, apply
from napari_unet.image.source import ImageSource

Mask = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]

PATCH: dict[int, tuple[int, int, int]] = {2: (1, 128, 128), 3: (16, 96, 96)}
CONTEXT: dict[int, tuple[int, int, int]] = {2: (0, 32, 32), 3: (8, 32, 32)}
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
    soft : ndarray of float32, (channels, Z, Y, X), or None
        Scores of another classifier, to learn from where nothing is known; all 0 where it said nothing.
    mostly_wrong : bool
        Most of what is known was wrong on screen, which led the brush: it tells little of what is right.
    """

    image: Floats
    labels: npt.NDArray[Any]
    known: Mask
    weight: Floats | None
    image_id: str
    t: int
    origin: tuple[int, int, int]
    soft: Floats | None = None
    mostly_wrong: bool = False

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
            soft=None if self.soft is None else self.soft[(slice(None), *local)],
            origin=(box[0].start, box[1].start, box[2].start),
        )


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


def crop_boxes(known: Mask, ndim: int) -> Iterator[Box]:
    """Yield the (z, y, x) boxes of the crops around what is known at one time point, (Z, Y, X)."""
    patch = PATCH[ndim]
    shape = tuple(-(-n // p) for n, p in zip(known.shape, patch, strict=True))
    cells = np.zeros(shape, bool)
    for index in np.ndindex(*shape):
        cells[index] = known[cell_box(index, patch)].any()
    structure = np.ones((3, 3, 3), bool)
    if ndim == 2:
        structure[[0, 2]] = False
    groups, _ = ndimage.label(cells, structure)
    for group in ndimage.find_objects(groups):
        for part in _compact(cells, (group[0], group[1], group[2])):
            low, high = (cell_box([end(p) for p in part], patch) for end in (_first, _last))
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


def cell_box(index: Sequence[int], size: tuple[int, int, int]) -> Box:
    """Return the box of a cell of a grid whose cells have `size` voxels."""
    z, y, x = (slice(i * n, (i + 1) * n) for i, n in zip(index, size, strict=True))
    return z, y, x
