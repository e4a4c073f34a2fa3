"""Blocks: in which parts a large image is decoded, and where two of them see the same. Free of torch.

Along one axis, with a margin on either side (the other axes alike)::

    region   |··························|
    core     |ccccccccc|ccccccccc|cccccc|       a partition; each begins on the chunks of the labels
    outer    |oooooooooooo|                     core ± margin, clipped to the region
                   |ooooooooooooooo|
    strip          |ssssss|                     what both have decoded: here they must agree
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod

from napari_unet.image.boxes import Box, Triple, grow, overlap, triple
from napari_unet.inference.labels.keeping import PLANE_CHUNK, VOLUME_CHUNK

Region = tuple[int, Box]

DECODING_BYTES = 100  # per voxel of a block, at the worst
SHARE = 4  # this part of the memory is for decoding
PLANE_MARGIN = (0, 128, 128)
VOLUME_MARGIN = (16, 24, 24)


@dataclass(frozen=True)
class Block:
    """One part.

    Parameters
    ----------
    index : int
        Position in the order of work.
    region : int
        Which of the regions it belongs to.
    t : int
        Time point.
    core : tuple of slice
        (z, y, x) in the image: what this block decides.
    outer : tuple of slice
        (z, y, x) in the image: what it sees.
    """

    index: int
    region: int
    t: int
    core: Box
    outer: Box


class BlockPlan:
    """The blocks of some regions, each cut along the grid of the chunks.

    Parameters
    ----------
    regions : sequence of (int, Box)
        Time point and (z, y, x) box of what is decoded as a whole: a volume, or a plane of a 2D network.
    core : tuple of int
        Size of the cores; a multiple of the chunks, so that no chunk has two writers.
    margin : tuple of int
        How far a block sees beyond its core.

    Examples
    --------
    >>> plan = BlockPlan([(0, (slice(0, 1), slice(0, 70), slice(3, 40)))], (1, 32, 32), (0, 8, 8))
    >>> [(block.core[1:], block.outer[2]) for block in plan.blocks][1]
    ((slice(0, 32, None), slice(32, 40, None)), slice(24, 40, None))
    """

    def __init__(self, regions: Sequence[Region], core: Triple, margin: Triple) -> None:
        self.regions = tuple(regions)
        self.margin = margin
        blocks: list[Block] = []
        self._at: dict[tuple[int, Triple], Block] = {}
        self._reach = triple(-(-2 * m // c) for m, c in zip(margin, core, strict=True))
        for number, (t, box) in enumerate(self.regions):
            cells = [range(span.start // size, -(-span.stop // size)) for span, size in zip(box, core, strict=True)]
            for cell in product(*cells):
                spans = [slice(i * size, (i + 1) * size) for i, size in zip(cell, core, strict=True)]
                inner = overlap((spans[0], spans[1], spans[2]), box)
                if inner is None:
                    continue
                outer = overlap(grow(inner, margin, triple(span.stop for span in box)), box) or inner
                block = Block(len(blocks), number, t, inner, outer)
                blocks.append(block)
                self._at[number, triple(cell)] = block
        self._cells = {block.index: cell for (_, cell), block in self._at.items()}
        self.blocks = tuple(blocks)

    @property
    def largest(self) -> Triple:
        """The largest extent of an outer box along each axis."""
        return triple(
            max(block.outer[axis].stop - block.outer[axis].start for block in self.blocks) for axis in (0, 1, 2)
        )

    def earlier(self, block: Block) -> Iterator[tuple[Block, Box]]:
        """Yield the blocks before this one that see part of what it sees, and that part."""
        cell = self._cells[block.index]
        for offset in product(*(range(-reach, reach + 1) for reach in self._reach)):
            other = self._at.get((block.region, triple(c + o for c, o in zip(cell, offset, strict=True))))
            if other is not None and other.index < block.index:
                strip = overlap(other.outer, block.outer)
                if strip is not None:
                    yield other, strip


def block_size(shape: Sequence[int], flat: bool, budget: int) -> tuple[Triple, Triple]:
    """Return core and margin of the blocks in which a large image is decoded.

    Parameters
    ----------
    shape : sequence of int
        (Z, Y, X) of the image.
    flat : bool
        Planes are decoded on their own.
    budget : int
        Bytes of memory to work with; a quarter is for decoding.

    Examples
    --------
    >>> block_size((1, 20000, 30000), True, 10**9)
    ((1, 1024, 1024), (0, 128, 128))
    """
    unit, margin = (PLANE_CHUNK, PLANE_MARGIN) if flat else (VOLUME_CHUNK, VOLUME_MARGIN)
    most = budget // SHARE // DECODING_BYTES
    core = list(unit)
    while True:
        # The shortest axis grows first, as long as the image goes on there.
        growing = [axis for axis in range(3) if core[axis] < shape[axis] and not (flat and axis == 0)]
        for axis in sorted(growing, key=lambda a: core[a]):
            larger = [n * 2 if a == axis else n for a, n in enumerate(core)]
            if prod(min(n + 2 * m, s) for n, m, s in zip(larger, margin, shape, strict=True)) <= most:
                core = larger
                break
        else:
            return triple(core), triple(margin)
