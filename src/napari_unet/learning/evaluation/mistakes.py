"""What is wrong with each object: missed, invented, split or merged."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_unet.learning.overlap import Overlaps

Ids = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Mistakes:
    """Objects by what is wrong with them, as sorted ids.

    Parameters
    ----------
    missed : ndarray of int64
        True objects that lie mostly in found background.
    invented : ndarray of int64
        Found objects that lie mostly in true background.
    split : ndarray of int64
        True objects to which several found ones belong.
    merged : ndarray of int64
        Found objects to which several true ones belong.
    pieces : ndarray of int64
        The found objects that belong to split ones.
    """

    missed: Ids
    invented: Ids
    split: Ids
    merged: Ids
    pieces: Ids


def find_mistakes(table: Overlaps) -> Mistakes:
    """Tell what is wrong with each object.

    ::

        truth    ( 1 )  (2) (3)  (4)  .       1 is split, 5 is merged of 2 and 3,
        found    (6|7)  (  5  )   .  (8)      4 is missed, 8 is invented

    An object belongs to the object or background of the other side in which more than half of it lies. These are the
    four errors of Coelho, Shariff and Murphy (*Nuclear segmentation in microscope cell images*, ISBI 2009), who take
    the largest share; with more than half there are no ties, and which object has which number makes no difference.

    Parameters
    ----------
    table : Overlaps
        Of truth and labels.
    """
    owner_true = _belongs(table.first, table.second, table.count)
    owner_found = _belongs(table.second, table.first, table.count)
    split, merged = _several(owner_found), _several(owner_true)
    ids, owners = owner_found
    return Mistakes(
        missed=owner_true[0][owner_true[1] == 0],
        invented=ids[owners == 0],
        split=split,
        merged=merged,
        pieces=ids[np.isin(owners, split)],
    )


def _belongs(own: Ids, other: Ids, count: Ids) -> tuple[Ids, Ids]:
    """Return objects, sorted, and in what more than half of each lies; objects without such are left out."""
    ids, place = np.unique(own, return_inverse=True)
    sizes = np.bincount(place, count, ids.size)
    major = (own > 0) & (2 * count > sizes[place])
    return own[major][np.argsort(own[major])], other[major][np.argsort(own[major])]


def _several(belonging: tuple[Ids, Ids]) -> Ids:
    """Return the objects to which at least two belong."""
    owners, number = np.unique(belonging[1][belonging[1] > 0], return_counts=True)
    return owners[number > 1]
