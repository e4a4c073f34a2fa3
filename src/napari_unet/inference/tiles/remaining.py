"""What is left of a plan when some of its tiles are finished. Free of torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from napari_unet.inference.tiles.neighbours import Neighbours
from napari_unet.inference.tiles.tiling import Tile, TilePlan

Finished = Callable[[Tile], bool]


def remaining(plan: TilePlan, finished: Finished) -> TilePlan:
    """Return the plan without its finished tiles.

    Where tiles are blended, the finished neighbours of unfinished ones stay: what they add at the seam is needed
    again, though not their own result.

    Parameters
    ----------
    plan : TilePlan
        Every tile.
    finished : callable
        Whether the scores of a tile's inner box are there.
    """
    left = [tile for tile in plan.tiles if not finished(tile)]
    if not plan.exact and len(left) < len(plan.tiles):
        waiting = Neighbours(left, plan.step)
        left = [tile for tile in plan.tiles if waiting.of(tile)]
    return replace(plan, tiles=tuple(replace(tile, index=n) for n, tile in enumerate(left)))
