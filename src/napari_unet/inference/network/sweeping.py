"""Running a plan's tiles as passes along one axis: where a tile follows the one before, nothing is computed again.

::

    tiles of a band   | 1 | 2 | 3 |          | 5 |          tile 2 goes on where tile 1 ended;
    rows read         |-----|---|---|      |-------|         tile 5 starts anew, with what it needs before it

Any order of tiles gives the same scores; following each other they cost no halo along the axis.
"""

from __future__ import annotations

from math import prod

import numpy as np
import numpy.typing as npt

from napari_unet.inference.network.engine import Engine, ShouldStop, TileTooLarge
from napari_unet.inference.network.rows import stacked
from napari_unet.inference.network.sweep import Sweep
from napari_unet.inference.network.turning import axis_order
from napari_unet.inference.tiles.normalized import NormalizedFrames
from napari_unet.inference.tiles.tiling import Tile, TilePlan

Scores = npt.NDArray[np.float32]
Key = tuple[int, int | None, tuple[tuple[int, int], ...]]


class Band:
    """A pass that is under way, and the scores of its last tile.

    Parameters
    ----------
    key : tuple
        Time point, plane, and the band's extent across.
    sweep : Sweep
        The network with what its levels keep.
    """

    def __init__(self, key: Key, sweep: Sweep, start: int) -> None:
        self.key, self.sweep = key, sweep
        self.last: Scores = np.zeros((0, 0, 0, 0), np.float32)
        self.start = self.stop = start  # rows that `last` covers

    def follows(self, key: Key, start: int) -> bool:
        """Whether a tile can go on from here; it may begin within the last one."""
        return key == self.key and self.start <= start <= self.stop


class Bands:
    """Computes tiles of plans on one engine, each from where the one before ended, if it can.

    Parameters
    ----------
    engine : Engine
        With a network that can be swept.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._band: Band | None = None
        self._frames: NormalizedFrames | None = None
        self._across = 1  # voxels of the cross-section

    def scores(self, plan: TilePlan, tile: Tile, frames: NormalizedFrames, should_stop: ShouldStop | None) -> Scores:
        """Return the scores (C, z, y, x) of a tile's inner box.

        Parameters
        ----------
        plan : TilePlan
            Where the tile lies; `plan.along` says along which axis to pass.
        tile : Tile
            Its outer box is not looked at.
        frames : NormalizedFrames
            The image.
        should_stop : callable or None
            Asked before each layer.

        Raises
        ------
        Stopped, TileTooLarge, CheckpointError
            As `Engine.run`. The next tile starts anew.
        """
        while True:
            try:
                return self._tile(plan, tile, frames, should_stop)
            except TileTooLarge:
                if not self.engine.smaller_slabs(self._across):
                    raise

    def release(self) -> None:
        """Let go of the image and of the last scores; the next tile starts anew."""
        self._band = self._frames = None

    def _tile(self, plan: TilePlan, tile: Tile, frames: NormalizedFrames, should_stop: ShouldStop | None) -> Scores:
        band, self._band = self._band, None
        order = axis_order(plan.ndim, plan.along)
        spans = [tile.inner[axis + 3 - plan.ndim] for axis in order]
        key: Key = (tile.t, tile.z, tuple((span.start, span.stop) for span in spans[1:]))
        start, stop = spans[0].start, spans[0].stop
        if band is None or frames is not self._frames or not band.follows(key, start):
            lengths = [plan.padded[axis + 3 - plan.ndim] for axis in order]
            band = Band(key, self.engine.sweep(order, start, key[2], lengths), start)
        new = self._rows(band, stop, order, tile, frames, should_stop)
        held = band.last[:, start - band.start :] if start < band.stop else None
        scores = np.concatenate([part for part in (held, new) if part is not None], axis=1)
        band.last, band.start, band.stop = scores, start, max(stop, band.stop)
        self._band, self._frames = band, frames
        scores = scores[:, : stop - start].transpose(0, *(1 + np.argsort(order)))
        return np.ascontiguousarray(scores[:, np.newaxis] if plan.flat else scores)

    def _rows(
        self,
        band: Band,
        stop: int,
        order: tuple[int, ...],
        tile: Tile,
        frames: NormalizedFrames,
        should_stop: ShouldStop | None,
    ) -> Scores | None:
        """Let the band go on up to a row; return its new scores (C, rows, …)."""
        sweep = band.sweep
        if stop <= band.stop:
            return None
        across = [levels[0].entry for levels in sweep.across]
        needed = sweep.needed(stop)
        self._across = prod(b - a for a, b in across)
        slab = self.engine.slab_rows(self._across)
        while sweep.next < needed:
            first, last = sweep.next, min(needed, sweep.next + slab)
            spans = dict(zip(order, [(first, last), *across], strict=True))
            box = [slice(*spans[axis]) for axis in range(len(order))]
            rows = frames.tile(tile.t, (slice(tile.z, tile.z + 1), *box) if tile.z is not None else tuple(box))  # type: ignore[arg-type]
            rows = rows.transpose(0, 1, *(2 + axis for axis in order))
            self.engine.push(sweep, rows, should_stop, tile.where)
        parts = sweep.scores.take(stop)
        scores: Scores = self.engine.finished(stacked(parts), tile.where)[0]
        return scores
