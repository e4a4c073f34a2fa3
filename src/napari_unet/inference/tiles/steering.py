"""Which tile comes next while the user pans, zooms and changes the slice. Free of torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from napari_unet.inference.tiles.nearness import distance_from
from napari_unet.inference.tiles.tiling import Tile, View

Steer = Callable[[], View | None]


def in_view_first(tiles: Sequence[Tile], steer: Steer | None) -> Iterator[Tile]:
    """Yield tiles, those that the user sees now before the others.

    ::

        planned for view A   1 2 3 4 5 6 7 8
        worked on            1 2 3 │ the user pans to view B │ 7 8 6 5 4
                                   └ asked between two tiles, never within one

    Parameters
    ----------
    tiles : sequence of Tile
        In the order of the plan.
    steer : callable, optional
        Returns the (t, (z, y, x) slices) on screen now, or None as long as nothing changed.

    Yields
    ------
    Tile
        Each of `tiles` once, as planned; the index of a tile stays what it was.
    """
    if steer is None:
        yield from tiles
        return
    waiting = list(reversed(tiles))
    sorted_for: View | None = None
    while waiting:
        view = steer()
        if view is not None and view != sorted_for:
            sorted_for = view
            # Stable, and taken from the end: what is equally near keeps the order of the plan.
            waiting.reverse()
            waiting.sort(key=lambda tile: distance_from(tile, view))
            waiting.reverse()
        yield waiting.pop()
