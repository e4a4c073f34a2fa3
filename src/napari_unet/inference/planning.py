"""The tiles of a route, within the memory that there is. Free of torch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_unet.image.memory import memory_budget
from napari_unet.inference.routing import Route
from napari_unet.inference.tiles.starting import small_first
from napari_unet.inference.tiles.tiling import TilePlan, View, plan_tiles

if TYPE_CHECKING:
    from napari_unet.inference.network.engine import Engine


@dataclass(frozen=True)
class Wanted:
    """Which part of an image, and what of it first; see `napari_unet.inference.predictor.Predictor.stream`."""

    view: View | None = None
    times: Iterable[int] | None = None
    planes: Iterable[int] | None = None
    only_view: bool = False


def plan_route(
    route: Route, engine: Engine, tile: int | None, memory_gb: tuple[float | None, float | None], wanted: Wanted
) -> TilePlan:
    """Plan the tiles on the network's grid.

    Parameters
    ----------
    route : Route
        How the model is run over the image.
    engine : Engine
        What computes, and how much of an image fits into its memory.
    tile : int or None
        Side of the tiles in voxels; chosen by cost and memory when None.
    memory_gb : (float or None, float or None)
        Memory of the device and main memory to work with, in 10⁹ bytes; half of what is free when None.
    wanted : Wanted
        What of the image.
    """
    device_gb, main_gb = memory_gb
    quick, most = engine.voxel_budget(device_gb) or (None, None)
    if route.directions:
        quick = most = route.direction_voxels(engine.header.out_channels, memory_budget(main_gb))
    plan = plan_tiles(
        route.source.shape,
        route.geometry,
        tile=tile,
        voxels=quick,
        most=most,
        across=None if route.compute(engine.run) else engine.across_budget(device_gb),
        times=wanted.times,
        planes=wanted.planes,
        view=route.network_view(wanted.view),
        only_view=wanted.only_view,
    )
    plan = plan if route.directions else small_first(plan, route.network_view(wanted.view))
    return route.reaching(plan, wanted.view if wanted.only_view else None)
