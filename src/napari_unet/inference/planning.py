"""The tiles of a route, within the memory that there is. Free of torch."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from napari_unet.image.memory import memory_budget
from napari_unet.inference.routing import Route
from napari_unet.inference.tiles.starting import small_first
from napari_unet.inference.tiles.tiling import TilePlan, View, plan_tiles

if TYPE_CHECKING:
    from napari_unet.inference.network.engine import Engine


def plan_route(
    route: Route,
    engine: Engine,
    tile: int | None,
    memory_gb: tuple[float | None, float | None],
    view: View | None,
    times: Iterable[int] | None,
    planes: Iterable[int] | None,
    only_view: bool,
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
    view, times, planes, only_view
        See `napari_unet.inference.predictor.Predictor.stream`.
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
        times=times,
        planes=planes,
        view=route.network_view(view),
        only_view=only_view,
    )
    plan = plan if route.directions else small_first(plan, route.network_view(view))
    return route.reaching(plan, view if only_view else None)
