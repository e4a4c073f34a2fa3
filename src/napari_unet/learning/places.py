"""The regions of an image that a user may be led to. Free of torch."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Literal

import numpy as np
import numpy.typing as npt

from napari_unet.image.boxes import Box, Triple, overlap, triple, volume

Place = tuple[int, Box]

REGION: dict[int, Triple] = {2: (1, 128, 128), 3: (16, 96, 96)}  # at most; what a person labels in a minute or two
RANDOM_REASON = "Random check: label everything in the frame without help."


@dataclass(frozen=True)
class Suggestion:
    """A region that is worth a look.

    Parameters
    ----------
    image_id : str
        Which image.
    t : int
        Time point.
    box : Box
        Where, (z, y, x).
    kind : {"uncertain", "random"}
        Found by disagreement, or drawn at random to be labelled without help.
    reason : str
        Why, one sentence for the panel.
    """

    image_id: str
    t: int
    box: Box
    kind: Literal["uncertain", "random"]
    reason: str


@dataclass(frozen=True)
class RegionGrid:
    """The regions that an image is divided into: all of nearly one size, none overlapping.

    ::

        |‒‒‒‒‒‒|‒‒‒‒‒‒|‒‒‒‒‒‒|      300 voxels, at most 128: three regions of 100

    Parameters
    ----------
    shape : tuple of int
        (T, Z, Y, X) of the image.
    ndim : {2, 3}
        Spatial dimensions of the network: a region of a 2D network is one plane.
    """

    shape: tuple[int, int, int, int]
    ndim: int

    @property
    def counts(self) -> tuple[int, int, int, int]:
        """Number of regions along (T, Z, Y, X)."""
        z, y, x = (-(-n // size) for n, size in zip(self.shape[1:], REGION[self.ndim], strict=True))
        return self.shape[0], z, y, x

    def __len__(self) -> int:
        return prod(self.counts)

    def place(self, index: int) -> Place:
        """Return time point and box of a region, counted from 0 to ``len(grid) - 1``."""
        t, *cell = (int(i) for i in np.unravel_index(index, self.counts))
        z, y, x = (
            slice(n * i // count, n * (i + 1) // count)
            for i, n, count in zip(cell, self.shape[1:], self.counts[1:], strict=True)
        )
        return t, (z, y, x)

    def touching(self, t: int, box: Box) -> npt.NDArray[np.int64]:
        """Return the regions that share a voxel with a box, as numbers of `place`."""
        spans = [
            [i for i in range(count) if n * i // count < part.stop and n * (i + 1) // count > part.start]
            for part, n, count in zip(box, self.shape[1:], self.counts[1:], strict=True)
        ]
        cells = np.meshgrid([t], *spans, indexing="ij")
        return np.ravel_multi_index(cells, self.counts).ravel().astype(np.int64)


def spread_sample(total: int, most: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Return all of ``range(total)``, or `most` of it: one drawn from each of as many equal stretches."""
    if total <= most:
        return np.arange(total, dtype=np.int64)
    drawn = (np.arange(most) + rng.random(most)) * (total / most)
    return np.unique(np.minimum(drawn.astype(np.int64), total - 1))


def shared(first: Place, second: Place) -> float:
    """Return the share of the first region that lies in the second."""
    common = overlap(first[1], second[1]) if first[0] == second[0] else None
    return 0.0 if common is None else volume(common) / volume(first[1])


def middle(box: Box) -> Triple:
    """Return the voxel in the middle of a box."""
    return triple((part.start + part.stop - 1) // 2 for part in box)
