"""Which tiles take part in each other's scores. Free of torch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import product

from napari_unet.image.boxes import Triple, overlap
from napari_unet.inference.tiles.tiling import Tile

Cell = tuple[int, int | None, tuple[int, ...]]


class Neighbours:
    """Tiles by their place, so that those around one are found among millions.

    Parameters
    ----------
    tiles : iterable of Tile
        Of one plan.
    step : tuple of int
        Size (z, y, x) of a usual inner box.
    """

    def __init__(self, tiles: Iterable[Tile], step: Triple) -> None:
        self._step = step
        self._cells: dict[Cell, list[Tile]] = {}
        for tile in tiles:
            for cell in self._over(tile):
                self._cells.setdefault(cell, []).append(tile)

    def of(self, tile: Tile) -> list[Tile]:
        """Return the tiles, itself included if it is one, that take part in its scores or the other way round."""
        found = {other.index: other for cell in self._over(tile) for other in self._cells.get(cell, ())}
        return [found[index] for index in sorted(found) if _meet(found[index], tile)]

    def _over(self, tile: Tile) -> Iterator[Cell]:
        spans = [range(s.start // n, -(-s.stop // n)) for s, n in zip(tile.outer, self._step, strict=True)]
        for place in product(*spans):
            yield tile.t, tile.z, place


def _meet(one: Tile, other: Tile) -> bool:
    return overlap(one.outer, other.inner) is not None or overlap(one.inner, other.outer) is not None
