"""Tiles: which part of an image the network sees at once, and which part of its answer counts. Free of torch.

Along one axis, with a halo of two grid cells (the other axes alike)::

    image     |························|
    padded    |························##|      to a multiple of the divisor, at the far side only
    grid      |    |    |    |    |    |    |   one cell = one voxel of the network's bottleneck
    inner     |iiiiiiiii|iiiiiiiiii|iiiii|      a partition of the image
    outer     |ooooooooo~~~~~~~~|               inner ± halo, clipped to the padded image
                  |~~~~~~~~oooooooooo~~~~~~~|
                            |~~~~~~~~~ooooo##|

Every outer box begins on the grid, so that pooling meets the same voxels in each tile as in the whole
image; halos come from real neighbours; and where an outer box ends inside the image, the halo is at
least as wide as the network can see. For networks without per-sample normalization the inner part of
the tiled result therefore equals the untiled one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.errors import ImageError
from napari_unet.image.boxes import Box, Triple, as_box, extent, inside, three_axes, triple, volume
from napari_unet.inference.tiles.nearness import distance_from, gaps
from napari_unet.inference.tiles.sizing import (
    DEFAULT_VOXELS,
    MOST_VOXELS,
    blending_margins,
    cheapest_step,
    sweeping_step,
)

if TYPE_CHECKING:
    from napari_unet.model.geometry import Geometry

View = tuple[int, Box]


@dataclass(frozen=True)
class Tile:
    """One piece of work.

    Parameters
    ----------
    index : int
        Position in the order of work.
    t : int
        Time point.
    z : int or None
        The plane for a 2D network, None for a 3D one.
    inner : tuple of slice
        (z, y, x) in the image: the part that this tile decides. Inner boxes partition the image.
    outer : tuple of slice
        (z, y, x) in the padded image: what the network sees.
    """

    index: int
    t: int
    z: int | None
    inner: Box
    outer: Box

    @property
    def local(self) -> Box:
        """The inner box in the coordinates of the outer one."""
        return inside(self.inner, self.outer)

    @property
    def where(self) -> str:
        """The place in words, for messages.

        Examples
        --------
        >>> Tile(0, 2, None, (slice(0, 4), slice(0, 8), slice(8, 16)), (slice(0, 4), slice(0, 8), slice(0, 16))).where
        'time 2, z 0:4, y 0:8, x 8:16'
        """
        z, y, x = (f"{s.start}:{s.stop}" for s in self.inner)
        return f"time {self.t}, z {z}, y {y}, x {x}"


@dataclass(frozen=True)
class TilePlan:
    """The tiles of a job and the grid that they lie on.

    Parameters
    ----------
    tiles : tuple of Tile
        In the order of work, the visible ones first.
    shape : tuple of int
        (Z, Y, X) of what the network is run on: the image, or for a 2D network one plane of it.
    padded : tuple of int
        `shape` padded to multiples of the divisor.
    step : tuple of int
        Size of an inner box away from the border.
    divisor, halo : tuple of int
        The network's grid, and how far an outer box reaches beyond its inner box.
    exact : bool
        Whether the tiled result equals the untiled one; otherwise tiles are blended.
    ndim : int
        2 or 3: of the network.
    trim : tuple of int
        How much at the edge of an outer box is not blended in, where tiles are blended.
    along : int
        The axis of (z, y, x) along which tiles follow each other (`napari_unet.inference.network.sweeping`).
    """

    tiles: tuple[Tile, ...]
    shape: Triple
    padded: Triple
    step: Triple
    divisor: Triple
    halo: Triple
    exact: bool
    ndim: int
    trim: Triple = (0, 0, 0)
    along: int = 1

    @property
    def flat(self) -> bool:
        """Whether the network is 2D, so that each plane is a run of its own."""
        return self.ndim == 2

    def outer(self, inner: Box, z: int | None) -> Box:
        """Return what the network must see to decide `inner`, whose near side lies on the grid."""
        spans = []
        for span, divisor, halo, length in zip(inner, self.divisor, self.halo, self.padded, strict=True):
            stop = -(-span.stop // divisor) * divisor
            spans.append(slice(max(0, span.start - halo), min(length, stop + halo)))
        return (spans[0] if z is None else slice(z, z + 1), spans[1], spans[2])

    def halves(self, tile: Tile) -> tuple[int, Tile, Tile] | None:
        """Cut a tile in two, for when it does not fit into memory.

        Parameters
        ----------
        tile : Tile
            Any tile whose inner box begins on the grid.

        Returns
        -------
        tuple or None
            The axis that was cut and two tiles, each with its own halo, whose inner boxes make up
            that of `tile`; None if it is a single cell of the grid already.
        """
        cells = [-(-n // d) for n, d in zip(extent(tile.inner), self.divisor, strict=True)]
        axis = int(np.argmax([n * d if n > 1 else 0 for n, d in zip(cells, self.divisor, strict=True)]))
        if cells[axis] < 2:
            return None
        cut = tile.inner[axis].start + cells[axis] // 2 * self.divisor[axis]
        parts = []
        for span in (slice(tile.inner[axis].start, cut), slice(cut, tile.inner[axis].stop)):
            spans = list(tile.inner)
            spans[axis] = span
            inner = (spans[0], spans[1], spans[2])
            parts.append(Tile(tile.index, tile.t, tile.z, inner, self.outer(inner, tile.z)))
        return axis, parts[0], parts[1]

    @property
    def waste(self) -> float:
        """Voxels computed per voxel of result."""
        computed = sum(volume(tile.outer) for tile in self.tiles)
        useful = sum(volume(tile.inner) for tile in self.tiles)
        return computed / useful if useful else 1.0


def plan_tiles(
    shape: Sequence[int],
    geometry: Geometry,
    *,
    tile: int | None = None,
    voxels: int | None = None,
    most: int | None = None,
    across: int | None = None,
    times: Iterable[int] | None = None,
    planes: Iterable[int] | None = None,
    view: View | None = None,
    only_view: bool = False,
) -> TilePlan:
    """Plan the tiles of an image.

    The tile size is the one that computes the fewest voxels while each tile stays quick. Only if
    halos would then outweigh the image `TOLERATED_WASTE` times do the tiles grow, up to `most`.
    A network that can pass along an axis needs no halo there: its tiles are slabs of bands as wide as memory
    allows; with a view, they are small enough to show it soon.

    Parameters
    ----------
    shape : sequence of int
        (T, Z, Y, X) of the image.
    geometry : Geometry
        Of the network; its `divisor` has 2 or 3 axes, which says whether it is a 2D or a 3D network.
    tile : int, optional
        Side of the inner boxes, instead of the choice by cost; rounded up to the grid.
    voxels : int, optional
        Voxels that may be computed per tile for it to stay quick.
    most : int, optional
        Voxels that fit into memory.
    across : int, optional
        Given if the network can pass along an axis: voxels that its cross-section may have to fit into memory.
    times, planes : iterable of int, optional
        Which time points and planes to cover; planes only for 2D networks, where each is a run of its own.
    view : tuple, optional
        (t, (z, y, x) slices) that the user sees: its tiles come first, nearest to its centre.
    only_view : bool
        Leave out the tiles beyond the view.

    Returns
    -------
    TilePlan

    Raises
    ------
    ImageError
        If the image has no such time point or plane.

    Examples
    --------
    >>> from napari_unet.model.config import UNetConfig
    >>> from napari_unet.model.geometry import geometry_of
    >>> plan = plan_tiles((1, 1, 100, 90), geometry_of(UNetConfig(features=(4, 8))))
    >>> len(plan.tiles), plan.padded
    (1, (1, 100, 90))
    """
    flat = len(geometry.divisor) == 2
    ndim = 2 if flat else 3
    n_times, depth, height, width = (int(n) for n in shape)
    size = (1 if flat else depth, height, width)
    divisor = three_axes(geometry.divisor, 1)
    # An instance normalization needs more than one voxel in the bottleneck.
    least = divisor if geometry.exact else tuple(d if d == 1 else 2 * d for d in divisor)
    padded = triple(max(low, -(-n // d) * d) for n, d, low in zip(size, divisor, least, strict=True))
    halo, trim = (three_axes(geometry.halo, 0), (0, 0, 0)) if geometry.exact else blending_margins(geometry, flat)
    voxels = voxels or DEFAULT_VOXELS[ndim]
    most = max(voxels, most or MOST_VOXELS[ndim])
    along = 1
    if tile is None and across is not None and geometry.exact:
        along, step = sweeping_step(padded, divisor, halo, voxels, across, near=view is not None)
    elif tile is None:
        step = cheapest_step(padded, divisor, halo, voxels, most)
    else:
        step = triple(min(p, -(-max(1, tile) // d) * d) for p, d in zip(padded, divisor, strict=True))
    plan = TilePlan((), size, padded, step, divisor, halo, geometry.exact, ndim, trim, along)
    starts = [range(0, n, s) for n, s in zip(size, step, strict=True)]
    layers = _chosen(planes, depth, "plane") if flat else [0]
    tiles = []
    for t in _chosen(times, n_times, "time point"):
        for z in layers:
            for corner in _following(starts, along):
                inner = as_box(corner, triple(min(a + s, n) for a, s, n in zip(corner, step, size, strict=True)))
                plane = z if flat else None
                if flat:
                    inner = (slice(z, z + 1), *inner[1:])
                tiles.append(Tile(0, t, plane, inner, plan.outer(inner, plane)))
    if view is not None:
        tiles.sort(key=lambda one: distance_from(one, view))
        if only_view:
            tiles = [one for one in tiles if one.t == view[0] and not any(gaps(one.inner, view[1]))]
    numbered = tuple(Tile(i, one.t, one.z, one.inner, one.outer) for i, one in enumerate(tiles))
    return replace(plan, tiles=numbered)


def _following(starts: Sequence[Iterable[int]], along: int) -> Iterator[Triple]:
    """Yield the corners of tiles so that those along an axis follow each other."""
    others = [axis for axis in range(3) if axis != along]
    for corner in product(starts[others[0]], starts[others[1]], starts[along]):
        placed = dict(zip((*others, along), corner, strict=True))
        yield (placed[0], placed[1], placed[2])


def _chosen(wanted: Iterable[int] | None, length: int, what: str) -> list[int]:
    chosen = list(range(length)) if wanted is None else [int(i) for i in wanted]
    for index in chosen:
        if not 0 <= index < length:
            raise ImageError(
                f"The {what} {index} was asked for; the image has {length}, from 0 to {length - 1}.",
                f"Choose a {what} of the image.",
            )
    return chosen
