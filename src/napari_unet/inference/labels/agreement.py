"""Which pieces of neighbouring blocks are one object: agreement where both see, then connected components."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from napari_unet.image.boxes import Box, extent, inside
from napari_unet.inference.labels.blocks import Block, BlockPlan
from napari_unet.inference.labels.planes import shared_voxels

Ids = npt.NDArray[np.int64]
_IN_MEMORY = 2 * 2**20  # temporary arrays of up to so many voxels are kept in memory
Rule = Literal["agreement", "contact"]


class Joining:
    """Takes the pieces of one block after the other and tells which belong together.

    Parameters
    ----------
    plan : BlockPlan
        All blocks; they are added in its order.
    rule : {"agreement", "contact"}
        ``contact``: two pieces that share a voxel are one. Right where each voxel belongs to the same kind of thing
        in both blocks, as for connected components. ``agreement``: see `agreeing`.
    folder : Path
        Where the pieces of a large image are kept; it does not exist yet.
    """

    def __init__(self, plan: BlockPlan, rule: Rule, folder: Path) -> None:
        self._plan, self._rule = plan, rule
        shape = (len(plan.blocks), *plan.largest)
        self._kept = temporary(folder, shape, (1, *plan.largest), np.int32)
        self._offsets = np.zeros(len(plan.blocks) + 1, np.int64)
        self._pairs: list[Ids] = []

    @property
    def total(self) -> int:
        """How many pieces there are so far."""
        return int(self._offsets.max())

    def add(self, block: Block, pieces: npt.NDArray[np.int32], count: int) -> int:
        """Take the pieces, 1 to `count`, of a block's outer box; return what makes their ids unique when added."""
        offset = int(self._offsets[block.index])
        self._offsets[block.index + 1] = offset + count
        for other, strip in self._plan.earlier(block):
            theirs = self._read(other, inside(strip, other.outer))
            ours = pieces[inside(strip, block.outer)]
            if self._rule == "contact":
                pairs = shared_voxels(theirs, ours)[0]
            else:
                region = self._plan.regions[block.region][1]
                pairs = agreeing(theirs, ours, _ends(strip, other.outer, region), _ends(strip, block.outer, region))
            self._pairs.append(pairs + np.array([self._offsets[other.index], offset], np.int64))
        lengths = extent(block.outer)
        self._kept[(block.index, *(slice(0, n) for n in lengths))] = pieces
        return offset

    def pieces(self, block: Block, box: Box) -> npt.NDArray[np.int32]:
        """Return the pieces that were added for a block, within a (z, y, x) box of the image inside its outer box."""
        return self._read(block, inside(box, block.outer))

    def offset(self, block: Block) -> int:
        """Return what makes the ids of a block's pieces unique when added."""
        return int(self._offsets[block.index])

    def objects(self) -> tuple[Ids, int]:
        """Return the object of each piece (index 0: 0), numbered from 1, and how many objects there are."""
        # Slow to import, and the panel opens at once.
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        total = self.total
        pairs = np.concatenate([*self._pairs, np.zeros((0, 2), np.int64)])
        graph = coo_array((np.ones(len(pairs), np.bool_), (pairs[:, 0], pairs[:, 1])), shape=(total + 1, total + 1))
        count, group = connected_components(graph, directed=False)
        # Piece 0 stands for "none" and is joined with nothing, so its group is its own and the first.
        return group.astype(np.int64), int(count) - 1

    def _read(self, block: Block, local: Box) -> npt.NDArray[np.int32]:
        return np.asarray(self._kept[(block.index, *local)])


def temporary(folder: Path, shape: tuple[int, ...], chunks: tuple[int, ...], dtype: npt.DTypeLike) -> Any:
    """Return an array of zeros: in memory if it is small, else a Zarr in a folder that does not exist yet."""
    if prod(shape) <= _IN_MEMORY:
        return np.zeros(shape, dtype)
    import zarr

    least = tuple(min(n, c) for n, c in zip(shape, chunks, strict=True))
    return zarr.create_array(str(folder), shape=shape, chunks=least, dtype=np.dtype(dtype), fill_value=0)


def agreeing(
    first: npt.NDArray[np.int32],
    second: npt.NDArray[np.int32],
    first_ends: tuple[tuple[int, int], ...],
    second_ends: tuple[tuple[int, int], ...],
) -> Ids:
    """Return the pairs of pieces that are the same object, by two decodings of one strip.

    ::

        block A   ░░░aaaaaaa|            a and b share most of what either has in the strip: the same object
        block B        |bbbbb░░░░
        strip          |sssss|

    Two pieces are one object if the intersection over union of what they have in the strip exceeds one half, or if one
    is cut off there, by the end of its own block, and more than half of it lies in the other: the other block sees what
    it is part of. Mere contact joins nothing. A piece agrees with at most one piece of the other block in the first
    way, and is part of at most one in the second.

    Parameters
    ----------
    first, second : ndarray of int32
        The pieces of two blocks in the strip that both see; 0 is background.
    first_ends, second_ends : tuple of (int, int)
        The planes (axis, 0 or -1) of the strip at which the first and the second block end.

    Returns
    -------
    ndarray of int64
        Shape (n, 2).

    Examples
    --------
    >>> a = np.array([[[1, 1, 1, 0, 2]]], np.int32)
    >>> b = np.array([[[4, 4, 0, 0, 5]]], np.int32)
    >>> agreeing(a, b, (), ()).tolist()
    [[1, 4], [2, 5]]
    """
    pairs, shared = shared_voxels(first, second)
    sizes = [np.bincount(part.ravel()) for part in (first, second)]
    size = [sizes[side][pairs[:, side]] for side in (0, 1)]
    same = 2 * shared > size[0] + size[1] - shared
    for side, (part, ends) in enumerate(((first, first_ends), (second, second_ends))):
        cut = np.zeros(sizes[side].size, np.bool_)
        for axis, end in ends:
            cut[part.take(end, axis)] = True
        same |= cut[pairs[:, side]] & (2 * shared > size[side])
    return pairs[same]


def _ends(strip: Box, outer: Box, region: Box) -> tuple[tuple[int, int], ...]:
    """Return the planes of a strip at which a block ends though the region goes on."""
    ends = []
    for axis, (s, o, r) in enumerate(zip(strip, outer, region, strict=True)):
        if s.start == o.start > r.start:
            ends.append((axis, 0))
        if s.stop == o.stop < r.stop:
            ends.append((axis, -1))
    return tuple(ends)
