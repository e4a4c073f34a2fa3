"""Panning while a segmentation runs: the rest is sorted anew, and every tile comes exactly once."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet.image.boxes import as_box
from napari_unet.image.source import ImageSource
from napari_unet.inference.predictor import Predictor
from napari_unet.inference.tiles.nearness import distance_from
from napari_unet.inference.tiles.steering import in_view_first
from napari_unet.inference.tiles.tiling import View, plan_tiles
from napari_unet.model.checkpoint import Checkpoint
from napari_unet.model.config import UNetConfig
from napari_unet.model.geometry import geometry_of
from napari_unet.model.unet import UNet

GEOMETRY = geometry_of(UNetConfig(features=(4, 8)))


def view_at(t: int, y: int, x: int, edge: int = 20) -> View:
    return t, as_box((0, y, x), (1, y + edge, x + edge))


@settings(max_examples=40, deadline=None)
@given(
    moves=st.lists(st.none() | st.tuples(st.integers(0, 1), st.integers(0, 150), st.integers(0, 150)), max_size=30),
    tile=st.integers(16, 64),
)
def test_every_tile_comes_once_and_the_one_in_view_comes_next(
    moves: list[tuple[int, int, int] | None], tile: int
) -> None:
    plan = plan_tiles((2, 1, 170, 180), GEOMETRY, tile=tile)
    views: Iterator[View | None] = iter([None if move is None else view_at(*move) for move in moves])
    latest: list[View] = []

    def steer() -> View | None:
        view = next(views, None)
        if view is not None:
            latest.append(view)
        return view

    seen: set[int] = set()
    for tile_now in in_view_first(plan.tiles, steer):
        left = [other for other in plan.tiles if other.index not in seen]
        if latest:
            assert distance_from(tile_now, latest[-1]) == min(distance_from(other, latest[-1]) for other in left)
        seen.add(tile_now.index)
    assert seen == {tile.index for tile in plan.tiles}


def test_without_steering_the_plan_stands() -> None:
    plan = plan_tiles((1, 1, 100, 90), GEOMETRY, tile=32)
    assert list(in_view_first(plan.tiles, None)) == list(plan.tiles)
    assert list(in_view_first(plan.tiles, lambda: None)) == list(plan.tiles)


def test_the_scores_do_not_depend_on_where_the_user_looked() -> None:
    network = UNet(UNetConfig(features=(4, 8), out_channels=2))
    checkpoint = Checkpoint.from_module(network, ndim=2, in_channels=1, out_channels=2)
    predictor = Predictor(checkpoint, device="cpu", precision="float32", tile=32, threads=1)
    image = np.random.default_rng(0).normal(size=(120, 130)).astype(np.float32)
    source = ImageSource.from_array(image, "YX")
    plain = predictor.predict(image, "YX")
    views = iter([view_at(0, 90, 100), None, view_at(0, 0, 100), None, None, view_at(0, 90, 0)])
    steered, order = np.zeros_like(plain), []
    for one in predictor.stream(source, steer=lambda: next(views, None)):
        steered[(slice(None), *one.tile.inner[1:])] = one.scores[:, 0]
        order.append(one.tile.inner)
    np.testing.assert_array_equal(steered, plain)
    assert order[0][1].stop > 90 and order[0][2].stop > 100
    assert order[2][1].start == 0 and order[2][2].stop > 100
