"""How overlapping tiles become one image: by cropping where they agree, by weights where they do not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
import numpy.typing as npt

from napari_unet.image.boxes import Box, Triple, extent, inside, overlap
from napari_unet.inference.tiles.neighbours import Neighbours
from napari_unet.inference.tiles.tiling import Tile, TilePlan

Scores = npt.NDArray[np.float32]

_LEAST = 1e-6  # weight of what is only taken when nothing better is there
_RELEASED: Scores = np.zeros((0, 0, 0, 0), np.float32)  # stands for a tile that nobody waits for any more


class Blender(Protocol):
    """Takes the scores of tiles and gives those of inner boxes once nothing will change them."""

    def part(self, tile: Tile) -> Box:
        """Return the part of the tile's outer box whose scores are needed."""
        ...

    def add(self, tile: Tile, scores: Scores) -> Iterator[tuple[Tile, Scores]]:
        """Take (C, z, y, x) over that part; yield the tiles that are now final, with their inner scores."""
        ...

    def flush(self) -> Iterator[tuple[Tile, Scores]]:
        """Yield the computed tiles that still wait for neighbours, blended with what there is."""
        ...


def blender(plan: TilePlan, margin: Triple = (0, 0, 0)) -> Blender:
    """Return the way of blending that suits a plan; exact tiles give `margin` voxels more than their inner box."""
    return CropBlender(plan, margin) if plan.exact else WindowBlender(plan)


class CropBlender:
    """For exact halos: the inner part of each tile is final at once.

    Parameters
    ----------
    plan : TilePlan
        The tiles.
    margin : tuple of int
        How much more (z, y, x) than the inner box is wanted, within the image.
    """

    def __init__(self, plan: TilePlan, margin: Triple = (0, 0, 0)) -> None:
        self._plan, self._margin = plan, margin

    def part(self, tile: Tile) -> Box:
        """Return the inner box with the margin."""
        spans = [
            slice(max(0, span.start - more), min(length, span.stop + more)) if more else span
            for span, more, length in zip(tile.inner, self._margin, self._plan.shape, strict=True)
        ]
        return spans[0], spans[1], spans[2]

    def add(self, tile: Tile, scores: Scores) -> Iterator[tuple[Tile, Scores]]:
        """Yield the tile."""
        yield tile, scores

    def flush(self) -> Iterator[tuple[Tile, Scores]]:
        """Yield nothing: no tile waits."""
        yield from ()


class WindowBlender:
    """For networks whose result depends on the tile: neighbours fade into each other.

    ::

        weight 1 ┤──────────╲  ╱───────
                 │           ╳           the ramps of two neighbours add up to 1
               0 ┤      ____╱  ╲____     what lies at a tile's edge hardly counts
                  tile A └ overlap ┘ tile B

    At the border of the image the weight stays 1. A tile is final once all its neighbours are
    computed; only the tiles in between are kept, so memory does not grow with the image.

    Parameters
    ----------
    plan : TilePlan
        All tiles that will be added.
    """

    def __init__(self, plan: TilePlan) -> None:
        self._plan = plan
        self._tiles = Neighbours(plan.tiles, plan.step)
        self._waiting: dict[int, set[int]] = {}  # tile → neighbours that it still needs
        self._held: dict[int, Scores] = {}
        self._near_to: dict[int, list[Tile]] = {}

    def part(self, tile: Tile) -> Box:
        """Return the outer box."""
        return tile.outer

    def add(self, tile: Tile, scores: Scores) -> Iterator[tuple[Tile, Scores]]:
        """Keep the tile and yield those that it completes."""
        self._held[tile.index] = scores
        near = self._near(tile)
        self._waiting[tile.index] = {other.index for other in near if not self._computed(other)}
        for other in near:
            self._waiting.get(other.index, set()).discard(tile.index)
        for other in near:
            if self._waiting.get(other.index) == set():
                yield self._finish(other)

    def flush(self) -> Iterator[tuple[Tile, Scores]]:
        """Yield the tiles that wait, blended with the neighbours there are."""
        for index in sorted(self._waiting):
            yield self._finish(self._plan.tiles[index])

    def weight(self, tile: Tile) -> Scores:
        """Return the weights (z, y, x) of a tile's outer box, above 0 and at most 1."""
        weight = np.ones((), np.float32)
        starts = (0, 0, 0) if tile.z is None else (tile.z, 0, 0)
        margins = zip(tile.outer, self._plan.halo, self._plan.trim, strict=True)
        for axis, (span, margin, trim) in enumerate(margins):
            length = span.stop - span.start
            ramp = np.ones(length, np.float32)
            rise = (np.arange(length) + 0.5 - trim) / max(2 * (margin - trim), 1)
            rise = np.clip(rise, _LEAST, 1)
            if span.start > starts[axis]:
                ramp = np.minimum(ramp, rise)
            if span.stop < starts[axis] + self._plan.padded[axis]:
                ramp = np.minimum(ramp, rise[::-1])
            weight = np.multiply.outer(weight, ramp)
        return weight.astype(np.float32, copy=False)

    def _near(self, tile: Tile) -> list[Tile]:
        """Return the tiles, itself included, whose outer boxes reach into this tile or the other way round."""
        if tile.index not in self._near_to:
            self._near_to[tile.index] = self._tiles.of(tile)
        return self._near_to[tile.index]

    def _computed(self, tile: Tile) -> bool:
        return tile.index in self._held

    def _finish(self, tile: Tile) -> tuple[Tile, Scores]:
        channels = self._held[tile.index].shape[0]
        total = np.zeros((channels, *extent(tile.inner)), np.float32)
        weights = np.zeros(extent(tile.inner), np.float32)
        for other in self._near(tile):
            shared = overlap(other.outer, tile.inner)
            if shared is None or not self._computed(other):
                continue
            there, here = inside(shared, other.outer), inside(shared, tile.inner)
            weight = self.weight(other)[there]
            total[(slice(None), *here)] += weight * self._held[other.index][(slice(None), *there)]
            weights[here] += weight
        del self._waiting[tile.index]
        for other in self._near(tile):
            if all(near.index in self._held and near.index not in self._waiting for near in self._near(other)):
                self._held[other.index] = _RELEASED
        return tile, total / weights
