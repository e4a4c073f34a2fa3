"""A small tile to begin with, so that something is on screen at once. Free of torch."""

from __future__ import annotations

from dataclasses import replace

from napari_unet.image.boxes import volume
from napari_unet.inference.tiles.nearness import distance_from
from napari_unet.inference.tiles.tiling import Tile, TilePlan, View

FIRST_VOXELS = 2**18  # computed for the first tile: a tenth of a second where a usual tile takes half of one


def small_first(plan: TilePlan, view: View | None, voxels: int = FIRST_VOXELS) -> TilePlan:
    """Return a plan whose first tile is small: the tile at the middle of the view is halved again and again.

    ::

        ┌───────────┬───────────┐      ┌─────┬─────┬───────────┐
        │           │           │      │  1  │  2  │           │
        │     1     │     2     │  →   ├─────┴─────┤     4     │
        │           │           │      │     3     │           │
        └───────────┴───────────┘      └───────────┴───────────┘

    Halves that lie farther from the middle stay whole, so that the halos of a few cuts are all that it costs.

    Parameters
    ----------
    plan : TilePlan
        Of a 2D network with exact halos; others stay as they are: blended tiles wait for their neighbours,
        whatever their size.
    view : tuple or None
        (t, (z, y, x) slices) that the user sees; without one the plan stays as it is.
    voxels : int
        Computed for the first tile, at most, where the grid allows it.

    Returns
    -------
    TilePlan
        Its inner boxes are a partition of the same place.
    """
    if view is None or not plan.exact or not plan.flat or not plan.tiles:
        return plan

    def from_middle(tile: Tile) -> tuple[float, ...]:
        return *distance_from(tile, view), _off_centre(tile, view)

    first = min(plan.tiles, key=from_middle)
    others = [tile for tile in plan.tiles if tile is not first]
    pieces: list[Tile] = []
    while volume(first.outer) > voxels:
        halves = plan.halves(first)
        if halves is None or max(volume(half.outer) for half in halves[1:]) >= volume(first.outer):
            break
        first, farther = sorted(halves[1:], key=from_middle)
        pieces.insert(0, farther)
    if not pieces:
        return plan
    tiles = (first, *pieces, *others)
    return replace(plan, tiles=tuple(replace(tile, index=n) for n, tile in enumerate(tiles)))


def _off_centre(tile: Tile, view: View) -> float:
    """Return the squared distance in-plane between the middle of a tile and that of the view."""
    pairs = zip(tile.inner[1:], view[1][1:], strict=True)
    return float(sum((0.5 * (a.start + a.stop - b.start - b.stop)) ** 2 for a, b in pairs))
