"""Boundaries that agree within a tolerance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_unet.learning.evaluation.voxels import share

Labels = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]

TOLERANCE = 2.0  # voxels


@dataclass(frozen=True)
class BoundaryCounts:
    """Voxels of boundaries, and how many of them lie close to the other side's boundary."""

    truth: int = 0
    labels: int = 0
    close_truth: int = 0
    close_labels: int = 0

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; 1 if there is no boundary on either side."""
        precision, recall = share(self.close_labels, self.labels), share(self.close_truth, self.truth)
        return 2 * precision * recall / (precision + recall) if precision + recall else 0.0

    def __add__(self, other: BoundaryCounts) -> BoundaryCounts:
        return BoundaryCounts(
            self.truth + other.truth,
            self.labels + other.labels,
            self.close_truth + other.close_truth,
            self.close_labels + other.close_labels,
        )


def boundary_f1(
    truth: Labels, labels: Labels, tolerance: float = TOLERANCE, spacing: Sequence[float] | None = None
) -> float:
    """Return the F1 of boundaries that agree within a tolerance; the parameters are those of `count_boundaries`."""
    return count_boundaries(truth, labels, tolerance, spacing).f1


def count_boundaries(
    truth: Labels, labels: Labels, tolerance: float = TOLERANCE, spacing: Sequence[float] | None = None
) -> BoundaryCounts:
    """Count the voxels of boundaries that lie close to the other side's boundary.

    ::

        1 1 1 2 2      . . b b .       A voxel of an object with a face neighbour of another label
        1 1 1 2 2      . . b b .       belongs to the boundary; the border of the image is none.
        1 1 0 0 0      b b . . .
        0 0 0 0 0      . . . . .

    Parameters
    ----------
    truth, labels : ndarray of int, same shape
        Objects or classes, (Y, X) or (Z, Y, X); 0 is background.
    tolerance : float
        Largest Euclidean distance that is close, in voxels along x.
    spacing : sequence of float, optional
        Voxel size along each axis, of which only the ratios matter; equal when omitted.

    Returns
    -------
    BoundaryCounts
        Precision is the share of the labels' boundary that is close to the truth's, recall the other way round;
        `BoundaryCounts.f1` is their harmonic mean (Csurka, Larlus and Perronnin, *What is a good evaluation measure
        for semantic segmentation?*, BMVC 2013, after Martin, Fowlkes and Malik, PAMI 26, 2004). There the tolerance
        is 0.75 % of the image's diagonal; here it is absolute, since objects do not grow with the image.
    """
    ratios = None if spacing is None else [step / spacing[-1] for step in spacing]
    a, b = _boundary(truth), _boundary(labels)
    return BoundaryCounts(int(a.sum()), int(b.sum()), _close(a, b, tolerance, ratios), _close(b, a, tolerance, ratios))


def _boundary(labels: Labels) -> Mask:
    found = np.zeros(labels.shape, bool)
    for axis in range(labels.ndim):
        lower, upper = ((slice(None),) * axis + (part,) for part in (slice(None, -1), slice(1, None)))
        differ = labels[lower] != labels[upper]
        found[lower] |= differ
        found[upper] |= differ
    return found & (labels > 0)


def _close(boundary: Mask, other: Mask, tolerance: float, spacing: Sequence[float] | None) -> int:
    """Return how many voxels of a boundary lie within the tolerance of the other."""
    from scipy import ndimage

    if not boundary.any() or not other.any():
        return 0
    distance = ndimage.distance_transform_edt(~other, sampling=spacing)
    return int((distance[boundary] <= tolerance).sum())
