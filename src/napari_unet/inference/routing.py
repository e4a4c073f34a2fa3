"""From an image to what the network is run on, and back: its grid, its tiles, its passes over them.

::

    image ── channels ──► rescaled ──► tiles ── passes ──► scores ── back to the image's grid ──► scores
              matched_source  rescaling    tiling   passes            rescaling

A route is chosen once per image from the model and the options; `Predictor` then runs it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import lcm
from typing import TYPE_CHECKING

from napari_unet.errors import ImageError
from napari_unet.image.boxes import Box, Triple, as_box, extent, overlap, three_axes
from napari_unet.image.source import ImageSource
from napari_unet.inference.channels import matched_source
from napari_unet.inference.diameters import FoundSize, network_grid
from napari_unet.inference.options import PredictOptions
from napari_unet.inference.passes import Run, mirror_axes, mirrored, three_directions, whole_tile
from napari_unet.inference.rescaling import Rescaling
from napari_unet.inference.tiles.remaining import Finished, remaining
from napari_unet.inference.tiles.steering import Steer
from napari_unet.inference.tiles.tiling import Tile, TilePlan, View
from napari_unet.model.geometry import Geometry

if TYPE_CHECKING:
    from napari_unet.inference.running import Compute, TileScores
    from napari_unet.model.header import CheckpointHeader

PLANES_ALONE = "A 2D model segments each plane on its own."
PLANES_APART = "A 2D model segments each plane on its own: objects are not joined across planes."
PLANES_JOINED = "A 2D model segments each plane on its own: objects that overlap from plane to plane are joined."
DIRECTIONS = "The scores are the mean over the planes in three directions; objects are found in 3D."
NO_DIRECTIONS = "Three directions need a 2D model and a stack: the model ran as usual."
_DIRECTION_VOXELS = 2**27  # most voxels of a tile that is looked at in three directions; only its planes are run


@dataclass(frozen=True)
class Route:
    """How a model is run over one image.

    Parameters
    ----------
    source : ImageSource
        With the network's channels, on the network's grid.
    geometry : Geometry
        Of one pass over a tile: the network's; with three axes for a 2D network in three directions.
    margin : tuple of int
        What a tile must give beyond its inner box, see `Runner.tiles`.
    rescaling : Rescaling or None
        Between the grids of the image and of the network.
    directions : bool
        A 2D network looks at a volume in three directions.
    versions : tuple of tuple of int
        Mirrored versions of each tile; the first is the tile as it is.
    notes : tuple of str
        What the user should know, as sentences.
    """

    source: ImageSource
    geometry: Geometry
    margin: Triple
    rescaling: Rescaling | None
    directions: bool
    versions: tuple[tuple[int, ...], ...]
    notes: tuple[str, ...]

    @property
    def flat(self) -> bool:
        """Whether each plane is a run of its own."""
        return len(self.geometry.divisor) == 2

    def compute(self, run: Run) -> Compute | None:
        """Return what is computed for a tile; None for a single pass of the engine."""
        if len(self.versions) > 1:
            run = mirrored(run, self.versions)
        if self.directions:
            return three_directions(run)
        return whole_tile(run) if len(self.versions) > 1 else None

    def direction_voxels(self, channels: int, free: int) -> int:
        """Return how many voxels a tile may have that is looked at in three directions.

        Its planes go through the network a few at a time; what has to fit is the tile, its scores and
        their sum.

        Parameters
        ----------
        channels : int
            Of the scores.
        free : int
            Bytes of memory to work with.
        """
        return max(1, min(_DIRECTION_VOXELS, free // (4 * (self.source.n_channels + 2 * channels))))

    def network_view(self, view: View | None) -> View | None:
        """Return what is in view on the network's grid."""
        if view is None or self.rescaling is None:
            return view
        return view[0], self.rescaling.seen(view[1])

    def steered(self, steer: Steer | None) -> Steer | None:
        """Return `steer` on the network's grid."""
        if steer is None or self.rescaling is None:
            return steer
        return lambda: self.network_view(steer())

    def reaching(self, plan: TilePlan, only: View | None = None) -> TilePlan:
        """Drop the tiles in which no voxel of the image has its centre, or none of those that are wanted."""
        if self.rescaling is None:
            return plan
        boxes = [self.rescaling.decided(tile.inner) for tile in plan.tiles]
        wanted = [all(extent(box)) and (only is None or overlap(box, only[1]) is not None) for box in boxes]
        tiles = [tile for tile, keep in zip(plan.tiles, wanted, strict=True) if keep]
        return replace(plan, tiles=tuple(replace(tile, index=i) for i, tile in enumerate(tiles)))

    def image_plan(self, plan: TilePlan, shape: Triple) -> TilePlan:
        """Return a plan with the tiles in the image's grid, where their scores are given."""
        if self.rescaling is None:
            return plan
        return replace(plan, tiles=tuple(self._image_tile(tile) for tile in plan.tiles), shape=shape)

    def remaining(self, plan: TilePlan, finished: Finished) -> TilePlan:
        """Return the plan without the tiles whose scores are there already, in the image's grid."""
        return remaining(plan, lambda tile: finished(self._image_tile(tile)))

    def scores(self, parts: Iterator[TileScores], plan: TilePlan) -> Iterator[TileScores]:
        """Bring scores from the network's grid to the image's."""
        if self.rescaling is None:
            yield from parts
            return
        for one in parts:
            tile = self._image_tile(one.tile)
            known = self._known(one.tile, plan)
            yield replace(one, tile=tile, scores=self.rescaling.back(one.scores, known, tile.inner))

    def _known(self, tile: Tile, plan: TilePlan) -> Box:
        """Return where the scores of a finished tile are known: as `blending.Crop` gives them."""
        if not plan.exact:
            return tile.inner
        lengths = self.source.shape[1:]
        wide = zip(tile.inner, self.margin, lengths, strict=True)
        spans = [(max(0, s.start - m), min(n, s.stop + m)) if m else (s.start, s.stop) for s, m, n in wide]
        return as_box([start for start, _ in spans], [stop for _, stop in spans])

    def _image_tile(self, tile: Tile) -> Tile:
        if self.rescaling is None:
            return tile
        inner = self.rescaling.decided(tile.inner)
        return replace(tile, inner=inner, outer=inner)


def choose_route(
    source: ImageSource,
    header: CheckpointHeader,
    geometry: Geometry,
    options: PredictOptions,
    found: FoundSize | None = None,
) -> Route:
    """Choose how a model is run over an image.

    Parameters
    ----------
    source : ImageSource
        The image as the user chose it.
    header : CheckpointHeader
        Of the model.
    geometry : Geometry
        Of its network.
    options : PredictOptions
        Flips, directions, rescaling.
    found : FoundSize, optional
        What a first coarse pass told of the objects.

    Raises
    ------
    ImageError
        If the image does not fit the model.
    """
    if header.ndim == 3 and not source.has("Z"):
        raise ImageError(
            f"The model {header.name!r} is 3D, but the image {source.name!r} has no Z axis: "
            f"its axes are {source.axes}.",
            "Choose a 2D model, or state the axes if one of them is depth.",
        )
    matched, channels_note = matched_source(source, header)
    stack = header.ndim == 2 and source.shape[1] > 1
    directions = options.three_directions and stack
    rescaling, rescaling_note = network_grid(source, header, options, found, isotropic=directions)
    margin: Triple = (0, 0, 0)
    if directions:
        step, radius = lcm(*geometry.divisor), max(geometry.receptive_field)
        geometry = Geometry((step,) * 3, (radius,) * 3, geometry.exact)
    if rescaling is not None:
        matched = rescaling.source(matched)
        # Interpolation looks one voxel beyond the tile; one cell more keeps it on the network's grid.
        wide = zip(geometry.receptive_field, geometry.divisor, strict=True)
        margin = three_axes(geometry.divisor, 0)
        geometry = replace(geometry, receptive_field=tuple(radius + step for radius, step in wide))
    versions = mirror_axes(header.ndim, matched.scale_um) if options.flips else ((),)
    notes = [channels_note, rescaling_note]
    if directions:
        notes.append(DIRECTIONS)
    elif options.three_directions:
        notes.append(NO_DIRECTIONS)
    if stack and not directions:
        objects = header.output.kind != "classes"
        notes.append((PLANES_JOINED if options.join_z else PLANES_APART) if objects else PLANES_ALONE)
    if len(versions) > 1:
        notes.append(f"The scores are the mean over {len(versions)} mirrored versions.")
    return Route(matched, geometry, margin, rescaling, directions, versions, tuple(n for n in notes if n))
