"""Running over part of an image as if that part were the image, but with its real neighbours. Free of torch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from napari_unet.image.boxes import Box, inside, overlap
from napari_unet.inference.tiles.tiling import Tile, TilePlan

if TYPE_CHECKING:
    from napari_unet.inference.running import TileScores


@dataclass(frozen=True)
class Window:
    """The part of an image that is wanted; tiles are planned on the whole image and cut to it.

    ::

        image    |------------------------------|
        tiles    |      |ooooooo|ooooooo|       |     those that touch the window, with halos from the image
        window             |---------|
        result             |iiii|iiii|               in the coordinates of the window

    The scores are those that a run over the whole image gives at this place, which a run over a
    cut-out would not: its border is none.

    Parameters
    ----------
    t : int
        Time point.
    box : tuple of slice
        (z, y, x) inside the image.
    """

    t: int
    box: Box

    @property
    def options(self) -> dict[str, Any]:
        """What `Predictor.plan` and `Predictor.stream` are asked for."""
        return {"view": (self.t, self.box), "times": (self.t,), "only_view": True}

    def plan(self, plan: TilePlan) -> TilePlan:
        """Return a plan whose tiles lie in the window's coordinates."""
        return replace(plan, tiles=tuple(self.tile(tile) for tile in plan.tiles))

    def tile(self, tile: Tile) -> Tile:
        """Return a tile that touches the window, in its coordinates; its outer box stays what it was."""
        inner = inside(self._shared(tile), self.box)
        return replace(tile, t=0, z=None if tile.z is None else inner[0].start, inner=inner)

    def scores(self, one: TileScores) -> TileScores:
        """Return the scores of a tile, cut to the window and in its coordinates."""
        part = inside(self._shared(one.tile), one.tile.inner)
        return replace(one, tile=self.tile(one.tile), scores=one.scores[(slice(None), *part)])

    def _shared(self, tile: Tile) -> Box:
        shared = overlap(tile.inner, self.box)
        if shared is None:
            raise ValueError(f"the tile at {tile.where} lies outside the window")
        return shared
