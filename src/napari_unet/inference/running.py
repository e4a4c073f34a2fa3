"""Running a plan: tile after tile through the engine, in smaller pieces when memory runs out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_unet.errors import DeviceError
from napari_unet.image.boxes import Box, Triple, volume
from napari_unet.inference.network.engine import Engine, ShouldStop, Stopped, TileTooLarge
from napari_unet.inference.network.selfcheck import checked_part
from napari_unet.inference.network.sweeping import Bands
from napari_unet.inference.tiles.blending import blender
from napari_unet.inference.tiles.normalized import NormalizedFrames
from napari_unet.inference.tiles.steering import Steer, in_view_first
from napari_unet.inference.tiles.tiling import Tile, TilePlan

Scores = npt.NDArray[np.float32]

# (batch (1, C, [Z], Y, X), should_stop, where, box in it whose scores are needed) → scores (1, C, [Z], Y, X);
# outside that box they may be anything.
Compute = Callable[[Scores, ShouldStop | None, str, Box], Scores]


@dataclass(frozen=True)
class TileScores:
    """The scores of one finished tile.

    Parameters
    ----------
    tile : Tile
        Where: ``scores`` covers ``tile.inner`` at time ``tile.t``.
    scores : ndarray of float32
        Shape (C, z, y, x), values 0 to 1.
    done, total : int
        How many tiles are finished, this one included, of how many.
    complete : bool
        Whether all its neighbours had their say; if not, because the run was stopped, another run may
        give slightly different scores where tiles are blended.
    """

    tile: Tile
    scores: Scores
    done: int
    total: int
    complete: bool = True


class Runner:
    """Runs plans on one engine, one after the other, and remembers which tiles were too large for it.

    Parameters
    ----------
    engine : Engine
        What computes.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.too_large: int | None = None  # voxels of a tile that did not fit into memory
        self.image_notes: tuple[str, ...] = ()  # what was done to the image, as sentences
        self._bands = Bands(engine)

    def begin(self, image_notes: tuple[str, ...] = ()) -> None:
        """Forget the last image: memory may be free again."""
        self.too_large = None
        self.image_notes = image_notes

    @property
    def note(self) -> str:
        """What was decided about the precision and done about memory, as sentences; empty if nothing."""
        where = f"Memory ran out on {self.engine.device.name}"
        if self.too_large is not None:
            memory = f"{where}: the tiles were made smaller."
        else:
            memory = f"{where}: less of the image passes through the network at once." if self.engine.slabs_cut else ""
        return " ".join(note for note in (self.engine.note, memory) if note)

    def check(self, plan: TilePlan, frames: NormalizedFrames) -> None:
        """See on a part of the first tile whether the precision gives the labels of float32, once per model."""
        if not plan.tiles or not self.engine.unchecked:
            return
        tile = plan.tiles[0]
        part = frames.tile(tile.t, checked_part(plan, tile))
        if part.ndim - 2 > self.engine.header.ndim:
            part = part[:, :, part.shape[2] // 2]  # a 2D network looks at a volume in three directions
        try:
            self.engine.check(part, tile.where)
        except TileTooLarge:
            # Memory is short now; the next image is looked at instead.
            return

    def tiles(
        self,
        plan: TilePlan,
        frames: NormalizedFrames,
        should_stop: ShouldStop | None,
        compute: Compute | None = None,
        margin: Triple = (0, 0, 0),
        steer: Steer | None = None,
    ) -> Iterator[TileScores]:
        """Yield the scores of the plan's tiles; those of a stopped run are the ones that were finished.

        Parameters
        ----------
        plan : TilePlan
            The tiles.
        frames : NormalizedFrames
            The image.
        should_stop : callable or None
            Asked before each tile and each layer.
        compute : callable, optional
            What is run on a tile instead of the engine alone: several passes and their average.
        margin : tuple of int
            By how much (z, y, x) the scores of exact tiles are wanted beyond the inner box, within the image;
            multiples of the divisor, contained in the plan's halo.
        steer : callable, optional
            What the user looks at meanwhile; see `napari_unet.inference.tiles.steering`.
        """
        blend = blender(plan, margin)
        done, total = 0, len(plan.tiles)
        try:
            for tile in in_view_first(plan.tiles, steer):
                if should_stop is not None and should_stop():
                    break
                try:
                    part = Tile(tile.index, tile.t, tile.z, blend.part(tile), tile.outer)
                    scores = self._scores(plan, part, frames, should_stop, compute)
                except Stopped:
                    break
                for finished, final in blend.add(tile, scores):
                    done += 1
                    yield TileScores(finished, final, done, total)
        finally:
            self._bands.release()
        for finished, final in blend.flush():
            done += 1
            yield TileScores(finished, final, done, total, complete=False)

    def _compute(
        self,
        plan: TilePlan,
        tile: Tile,
        frames: NormalizedFrames,
        should_stop: ShouldStop | None,
        compute: Compute | None,
    ) -> Scores:
        if compute is None and plan.exact and self.engine.sweeps:
            return self._bands.scores(plan, tile, frames, should_stop)
        batch = frames.tile(tile.t, tile.outer)
        if compute is None:
            scores = self.engine.run(batch, should_stop, tile.where)[0]
        else:
            scores = compute(batch, should_stop, tile.where, tile.local)[0]
        if plan.flat:
            scores = scores[:, np.newaxis]
        return np.ascontiguousarray(scores[(slice(None), *tile.local)])

    def _scores(
        self,
        plan: TilePlan,
        tile: Tile,
        frames: NormalizedFrames,
        should_stop: ShouldStop | None,
        compute: Compute | None,
    ) -> Scores:
        """Return the scores (C, z, y, x) of the tile's inner box; in halves when memory does not suffice."""
        size = volume(tile.outer)
        if self.too_large is None or size < self.too_large:
            try:
                return self._compute(plan, tile, frames, should_stop, compute)
            except TileTooLarge:
                self.too_large = size
        halves = plan.halves(tile)
        if halves is None or min(volume(half.outer) for half in halves[1:]) >= size:
            raise DeviceError(
                f"Memory ran out on {self.engine.device.name} even for the smallest tile ({tile.where}).",
                "Close other programs, or choose a smaller model."
                if self.engine.device.kind == "cpu"
                else "Choose the device 'cpu'"
                + (": what is finished is kept, and the rest is computed there." if plan.exact else "."),
            )
        axis, *parts = halves
        return np.concatenate([self._scores(plan, half, frames, should_stop, compute) for half in parts], axis=1 + axis)
