"""How near a tile is to what the user sees. Free of torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_unet.image.boxes import Box, Triple, triple

if TYPE_CHECKING:
    from napari_unet.inference.tiles.tiling import Tile, View


def distance_from(tile: Tile, view: View) -> tuple[float, ...]:
    """Return how far a tile is from the view: by time, plane, then within the plane.

    Parameters
    ----------
    tile : Tile
        Any tile.
    view : tuple
        (t, (z, y, x) slices) that the user sees.

    Returns
    -------
    tuple of float
        To be compared with that of other tiles.
    """
    z, y, x = gaps(tile.inner, view[1])
    centre = sum(
        (0.5 * (a.start + a.stop - b.start - b.stop)) ** 2 for a, b in zip(tile.inner[1:], view[1][1:], strict=True)
    )
    time = (abs(tile.t - view[0]), tile.t)
    if z + y + x == 0:
        return (*time, 0, 0, tile.inner[0].start, 0, centre)
    # Beyond the view column by column, the nearest first, so that tiles follow each other.
    return (*time, 1, z, tile.inner[0].start, x, tile.inner[2].start, tile.inner[1].start)


def gaps(first: Box, second: Box) -> Triple:
    """Return by how many voxels a box would have to grow to reach the other, along each axis."""
    return triple(max(0, a.start - b.stop + 1, b.start - a.stop + 1) for a, b in zip(first, second, strict=True))
