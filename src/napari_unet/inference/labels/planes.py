"""Objects of neighbouring planes joined into objects in z. Free of torch.

::

    plane z     ( 1 )    ( 2 )      (  3  )
                  │        │          ├ ─ ─ ┐       the better partner continues the object,
    plane z+1   ( 1 )     ( 2)      ( 3 )  (4)      the other begins a new one

Two planes are compared at a time. Which objects continue each other depends on these two planes alone, and
so does not depend on the order in which planes come; only the numbers do.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from napari_unet.errors import OutputError

LEAST_OVERLAP = 0.25  # of the union, or half of the smaller one: an object's ends are smaller than what they end

Labels = npt.NDArray[np.uint32]


def matches(first: npt.NDArray[Any], second: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Find which objects of two planes continue each other: the one-to-one choice that shares the most.

    Parameters
    ----------
    first, second : ndarray of unsigned int, (Y, X)
        Labels of two neighbouring planes; 0 is the background.

    Returns
    -------
    ndarray of int64, (n, 2)
        Pairs (label of the first, label of the second), by the first. Two objects can be a pair if they
        share `LEAST_OVERLAP` of their union, or half of the smaller one.

    Examples
    --------
    >>> matches(np.array([[1, 1, 0, 2]]), np.array([[7, 7, 0, 0]]))
    array([[1, 7]])
    """
    pairs, shared = shared_voxels(first, second)
    areas = [np.bincount(plane.ravel()) for plane in (first, second)]
    return chosen_pairs(pairs, shared, areas[0][pairs[:, 0]], areas[1][pairs[:, 1]])


def shared_voxels(
    first: npt.NDArray[Any], second: npt.NDArray[Any]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the pairs of objects that share voxels, (n, 2) and sorted, and how many they share."""
    both = (first > 0) & (second > 0)
    packed = (first[both].astype(np.uint64) << np.uint64(32)) | second[both].astype(np.uint64)
    found, shared = np.unique(packed, return_counts=True)
    pairs = np.stack([found >> np.uint64(32), found & np.uint64(0xFFFFFFFF)], axis=1).astype(np.int64)
    return pairs, shared.astype(np.int64)


def chosen_pairs(
    pairs: npt.NDArray[np.int64],
    shared: npt.NDArray[np.int64],
    first_area: npt.NDArray[np.int64],
    second_area: npt.NDArray[np.int64],
) -> npt.NDArray[np.int64]:
    """Choose the pairs that continue each other, from what they share and from the areas of both of each pair."""
    union = first_area + second_area - shared
    allowed = (shared >= LEAST_OVERLAP * union) | (2 * shared >= np.minimum(first_area, second_area))
    return _assigned(pairs[allowed], (shared / np.maximum(union, 1))[allowed])


def _assigned(pairs: npt.NDArray[np.int64], iou: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Solve the assignment in each group of objects that compete; most groups are a single pair."""
    # Slow to import, and the panel opens at once.
    from scipy.optimize import linear_sum_assignment
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    if not len(pairs):
        return pairs
    (_, row), (_, column) = (np.unique(pairs[:, side], return_inverse=True) for side in (0, 1))
    rows, columns = int(row.max()) + 1, int(column.max()) + 1
    graph = coo_matrix((np.ones(len(pairs)), (row, rows + column)), shape=(rows + columns,) * 2)
    _, group = connected_components(graph, directed=False)
    group = group[row]
    alone = np.bincount(group)[group] == 1
    chosen = [pairs[alone]]
    contested = np.flatnonzero(~alone)
    contested = contested[np.argsort(group[contested], kind="stable")]
    for some in np.split(contested, np.flatnonzero(np.diff(group[contested])) + 1):
        if not some.size:
            continue
        (_, r), (_, c) = (np.unique(pairs[some, side], return_inverse=True) for side in (0, 1))
        gain = np.zeros((int(r.max()) + 1, int(c.max()) + 1))
        gain[r, c] = iou[some]
        picked = np.zeros(gain.shape, bool)
        picked[linear_sum_assignment(gain, maximize=True)] = True
        chosen.append(pairs[some][picked[r, c]])
    found = np.concatenate(chosen)
    return found[np.argsort(found[:, 0], kind="stable")]


class PlaneJoiner:
    """Numbers the objects of planes so that what continues in z has one id.

    Planes may come in any order. Those that still wait for a neighbour are kept: the last one when they come
    one after the other, the first and the last when they grow to both sides.

    Parameters
    ----------
    first_id : int
        The first id to give.

    Examples
    --------
    >>> joiner = PlaneJoiner()
    >>> joiner.add(0, np.array([[1, 1, 0, 2]], np.uint32))
    array([[1, 1, 0, 2]], dtype=uint32)
    >>> joiner.add(1, np.array([[0, 1, 0, 0]], np.uint32))
    array([[0, 1, 0, 0]], dtype=uint32)
    """

    def __init__(self, first_id: int = 1) -> None:
        self._next = first_id
        self._open: dict[tuple[int, int], Labels] = {}  # (t, z) of planes with a neighbour to come, with their ids
        self._seen: set[tuple[int, int]] = set()
        self._same: dict[int, int] = {}  # id → smaller id of the same object, where two ids have met

    @property
    def next_id(self) -> int:
        """The first id that no object has."""
        return self._next

    def add(self, z: int, labels: npt.NDArray[Any], t: int = 0) -> Labels:
        """Take the next plane and return it with ids.

        Parameters
        ----------
        z : int
            Which plane.
        labels : ndarray of unsigned int, (Y, X)
            Its objects, numbered in any way; as large as the other planes.
        t : int
            Time point; nothing is joined between them, and no id is given twice.

        Returns
        -------
        ndarray of uint32
            An object that continues one of a finished neighbour has its id. One that joins two ids has the
            smaller; `merged` then tells of the other.

        Raises
        ------
        OutputError
            If there are more objects than ids.
        """
        table = np.zeros(int(labels.max(initial=0)) + 1, np.int64)
        for near in ((t, z - 1), (t, z + 1)):
            if near not in self._open:
                continue
            for there, here in matches(self._open[near], labels):
                known = self._root(int(there))
                if table[here]:
                    known = self._unite(int(table[here]), known)
                table[here] = known
        new = np.flatnonzero((np.bincount(labels.ravel(), minlength=table.size) > 0) & (table == 0))
        new = new[new > 0]
        if self._next + new.size > np.iinfo(np.uint32).max:
            raise OutputError(f"There are more than {np.iinfo(np.uint32).max} objects.", "Raise the minimum size.")
        table[new] = self._next + np.arange(new.size)
        self._next += int(new.size)
        result: Labels = table.astype(np.uint32)[labels]
        self._keep(t, z, result)
        return result

    def _keep(self, t: int, z: int, labels: Labels) -> None:
        self._seen.add((t, z))
        self._open[t, z] = labels
        for plane in (z - 1, z, z + 1):
            if {(t, plane - 1), (t, plane + 1)} <= self._seen:
                self._open.pop((t, plane), None)

    @property
    def merged(self) -> dict[int, int]:
        """Ids given to planes that turned out to be another object's, and which one's.

        Empty where planes come one after the other, or grow to both sides.
        """
        return {old: self._root(old) for old in sorted(self._same)}

    def _root(self, one: int) -> int:
        while one in self._same:
            one = self._same[one]
        return one

    def _unite(self, one: int, other: int) -> int:
        low, high = sorted((self._root(one), self._root(other)))
        if low != high:
            self._same[high] = low
        return low
