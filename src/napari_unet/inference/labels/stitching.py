"""Objects of an image too large to be decoded at once: block by block, joined where blocks agree. Free of torch.

::

    scores ── decode outer boxes ──► pieces ── joined where the strips agree ──► objects
                                       │                                           │
                 cores, each piece with a number of its own                        │
                                       │                                           │
    labels ◄── objects numbered ◄── holes filled, too small ones dropped ◄─────────┘

Cores are the chunks of the temporary arrays, and one block is written at a time: no chunk has two writers.
What must see an object whole (how many voxels it has, which holes it encloses, whether it has a core) is
decided after joining, so that nothing happens to a piece because a block has cut it off.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_unet.errors import OutputError
from napari_unet.image.boxes import Box, Triple, extent, inside
from napari_unet.image.memory import give_back
from napari_unet.inference.labels.agreement import Ids, Joining, temporary
from napari_unet.inference.labels.blocks import Block, BlockPlan, Region
from napari_unet.inference.labels.objects import ObjectSettings, Pieces, least_core, pieces
from napari_unet.inference.labels.smoothing import smoothed_part
from napari_unet.inference.labels.tidying import around

if TYPE_CHECKING:
    from napari_unet.model.header import Output

Labels = npt.NDArray[np.uint32]
Run = Callable[..., Any]
_NEVER = np.iinfo(np.int64).max


def call(function: Callable[..., Any], *args: Any) -> Any:
    """Call a function; stands for `JobContext.run`, which also looks whether the job was cancelled."""
    return function(*args)


class Stitcher:
    """Decodes the objects of some regions block by block.

    The result is that of `decode` on each region as a whole, numbers included, wherever the foreground that is
    connected with an object extends over no more than the margin (for models without a boundary: always). Larger ones
    are joined where the blocks agree (see `agreement.agreeing`).

    Parameters
    ----------
    scores : array-like
        (T, C, Z, Y, X), read by slices; values 0 to 1.
    regions : sequence of (int, Box)
        Time point and box of what is decoded as a whole.
    output : Output
        What the channels mean; one with objects.
    settings : ObjectSettings
        How scores become objects.
    core, margin : tuple of int
        Size of the blocks, see `BlockPlan`; the margin is at least 1.
    folder : Path
        An existing folder for temporary arrays.
    dtype : dtype
        The labels must fit into it.
    run : callable
        Calls a function; may raise to stop.
    """

    def __init__(
        self,
        scores: Any,
        regions: Sequence[Region],
        output: Output,
        settings: ObjectSettings,
        *,
        core: Triple,
        margin: Triple,
        folder: Path,
        dtype: npt.DTypeLike = np.uint32,
        run: Run = call,
    ) -> None:
        self._scores, self._output, self._settings = scores, output, settings
        self._shape = (scores.shape[0], *scores.shape[2:])
        self._cores = temporary(folder / "cores.zarr", self._shape, (1, *core), np.uint32)
        self._limit = int(np.iinfo(dtype).max)
        self._plan = BlockPlan(regions, core, margin)
        self._around = BlockPlan(regions, core, (1, 1, 1))  # the same cores, with the next voxel on every side
        self._ndim = 3 if any(box[0].stop - box[0].start > 1 for _, box in self._plan.regions) else 2
        self._folder, self._run = folder, run
        self.total = len(self._plan.blocks) * (3 if settings.fill_holes else 2)  # steps of `blocks`
        self.count = 0  # objects found

    def blocks(
        self, first: int = 0, progress: Callable[[int, int], None] | None = None
    ) -> Iterator[tuple[Block, Labels]]:
        """Do it, and yield the blocks with the final labels of their cores.

        Parameters
        ----------
        first : int
            The objects are numbered from ``first + 1``, in the raster order (T, Z, Y, X) of their first voxel.
        progress : callable, optional
            Called with (done, total) steps.

        Raises
        ------
        OutputError
            If there are more objects than the labels can tell apart.
        """
        done = 0

        def step() -> None:
            nonlocal done
            done += 1
            give_back()
            if progress is not None:
                progress(done, self.total)

        split = self._output.kind == "instances"
        joining = Joining(self._plan, "agreement" if split else "contact", self._folder / "pieces.zarr")
        counted = _Counted()
        for block in self._plan.blocks:
            self._find(block, joining, counted)
            step()
        objects, count = joining.objects()
        sizes, cored, firsts = counted.summed(objects, count)
        if split:
            # Specks of mere boundary are none, also where they would close a hole.
            sizes[cored < least_core(self._settings, self._ndim)] = 0
        objects[sizes[objects] == 0] = 0
        owners = np.zeros(0, np.int64)
        holes: Joining | None = None
        if self._settings.fill_holes:
            holes = Joining(self._around, "contact", self._folder / "holes.zarr")
            owners = self._holes(holes, objects, sizes, step)
        numbers, self.count = _numbered(sizes, firsts, max(1, self._settings.least_size(self._ndim)), first)
        self._check(first + self.count, self._limit)
        final = numbers[objects]
        hole_final = numbers[owners]
        for block in self._around.blocks:
            values = np.take(final, np.asarray(self._cores[(block.t, *block.core)]))
            if holes is not None:
                ids = holes.pieces(block, block.core)
                inner = np.flatnonzero(ids)
                values.ravel()[inner] = hole_final[ids.ravel()[inner] + holes.offset(block)]
            yield block, values
            step()

    def _find(self, block: Block, joining: Joining, counted: _Counted) -> None:
        """Decode a block, and write the pieces of its core under ids of their own."""
        found: Pieces = self._run(
            _decoded, self._scores, block, self._plan.regions[block.region][1], self._output, self._settings
        )
        offset = joining.add(block, found.labels, found.count)
        self._check(offset + found.count, int(np.iinfo(np.uint32).max))
        here = inside(block.core, block.outer)
        labels = found.labels[here]
        counted.add(block, labels, found.count, None if found.core is None else found.core[here], self._shape)
        values = labels.astype(np.uint32)
        values[values > 0] += np.uint32(offset)
        self._cores[(block.t, *block.core)] = values

    def _holes(self, joining: Joining, objects: Ids, sizes: Ids, step: Callable[[], None]) -> Ids:
        """Find the holes across the blocks; return each piece's owner or 0, and add them to the owners' sizes."""
        lows, highs, voxels = [np.full(1, _NEVER)], [np.zeros(1, np.int64)], [np.zeros(1, np.int64)]
        for block in self._around.blocks:
            whole = self._around.regions[block.region][1]
            labels = objects[np.asarray(self._cores[(block.t, *block.outer)])]
            found, count = self._run(ndimage.label, labels == 0)
            low, high = around(found, count, labels)
            for axis, (o, w) in enumerate(zip(block.outer, whole, strict=True)):
                if axis == 0 and extent(whole)[0] == 1:
                    continue  # a plane has no border above and below
                for end, at_border in ((0, o.start == w.start), (-1, o.stop == w.stop)):
                    if at_border:
                        high[np.unique(found.take(end, axis))] = _NEVER
            joining.add(block, found, count)
            lows.append(low[1:])
            highs.append(high[1:])
            voxels.append(np.bincount(found[inside(block.core, block.outer)].ravel(), minlength=count + 1)[1:])
            step()
        group, count = joining.objects()
        low = np.full(count + 1, _NEVER, np.int64)
        high = np.zeros(count + 1, np.int64)
        size = np.zeros(count + 1, np.int64)
        np.minimum.at(low, group, np.concatenate(lows))
        np.maximum.at(high, group, np.concatenate(highs))
        np.add.at(size, group, np.concatenate(voxels))
        owner = np.where(low == high, low, 0)
        owner[low == _NEVER] = 0
        owner[0] = 0
        np.add.at(sizes, owner[1:], size[1:])
        sizes[0] = 0
        return np.asarray(owner[group])

    def _check(self, largest: int, limit: int) -> None:
        if largest > limit:
            raise OutputError(
                f"There are more than {limit} objects, the most that {limit.bit_length()}-bit labels can tell apart.",
                "Raise the minimum size or the threshold, or segment a part of the image.",
            )


def _decoded(scores: Any, block: Block, region: Box, output: Output, settings: ObjectSettings) -> Pieces:
    """Return the pieces of a block's outer box that reach into its core, with ids from 1 without gaps.

    Those beyond are other blocks' affair, which see more of them; here they might be cut off on all sides.
    """
    part = smoothed_part(scores, block.t, block.outer, region, settings.smooth)
    plane = part.shape[1] == 1
    found = pieces(part[:, 0] if plane else part, output, settings)
    labels, core = found.labels, found.core
    if plane:
        labels, core = labels[None], None if core is None else core[None]
    there = np.bincount(labels[inside(block.core, block.outer)].ravel(), minlength=found.count + 1) > 0
    there[0] = False
    table = np.zeros(there.size, np.int32)
    table[there] = np.arange(1, int(there.sum()) + 1, dtype=np.int32)
    return Pieces(table[labels], int(there.sum()), core)


class _Counted:
    """Voxels, core voxels and first voxel of every piece, within the cores."""

    def __init__(self) -> None:
        self._sizes = [np.zeros(1, np.int64)]
        self._cores = [np.zeros(1, np.int64)]
        self._firsts = [np.full(1, _NEVER)]

    def add(self, block: Block, labels: npt.NDArray[np.int32], count: int, core: Any, shape: tuple[int, ...]) -> None:
        """Count the pieces, 1 to `count`, of a block's core."""
        flat = np.flatnonzero(labels)
        ids = labels.ravel()[flat]
        firsts = np.full(count + 1, _NEVER)
        where = np.unravel_index(flat[::-1], labels.shape)
        starts = [span.start for span in block.core]
        places = (np.int64(block.t), *(w + start for w, start in zip(where, starts, strict=True)))
        # Written backwards, so that the first voxel stands.
        firsts[ids[::-1]] = np.ravel_multi_index(np.broadcast_arrays(*places), shape) if flat.size else 0
        self._sizes.append(np.bincount(ids, minlength=count + 1)[1:])
        within = ids if core is None else ids[core.ravel()[flat]]
        self._cores.append(np.bincount(within, minlength=count + 1)[1:])
        self._firsts.append(firsts[1:])

    def summed(self, objects: Ids, count: int) -> tuple[Ids, Ids, Ids]:
        """Return voxels, core voxels and first voxel of every object, 0 to `count`."""
        sizes, cores = np.zeros(count + 1, np.int64), np.zeros(count + 1, np.int64)
        firsts = np.full(count + 1, _NEVER)
        np.add.at(sizes, objects, np.concatenate(self._sizes))
        np.add.at(cores, objects, np.concatenate(self._cores))
        np.minimum.at(firsts, objects, np.concatenate(self._firsts))
        return sizes, cores, firsts


def _numbered(sizes: Ids, firsts: Ids, least: int, first: int) -> tuple[Labels, int]:
    """Return the number of each object, in the order of the first voxels, and how many are large enough."""
    keep = sizes >= least
    keep[0] = False
    order = np.argsort(np.where(keep, firsts, _NEVER), kind="stable")[: int(keep.sum())]
    numbers = np.zeros(sizes.size, np.uint32)
    numbers[order] = (np.arange(order.size, dtype=np.int64) + first + 1).astype(np.uint32)
    return numbers, int(order.size)
