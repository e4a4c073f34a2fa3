"""Tiles: a partition on the network's grid, whose result equals the untiled one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_unet.errors import ImageError
from napari_unet.image.boxes import extent, overlap, volume
from napari_unet.image.normalize import Statistics
from napari_unet.image.source import ImageSource
from napari_unet.inference.predictor import Predictor
from napari_unet.inference.tiles.blending import WindowBlender
from napari_unet.inference.tiles.tiling import plan_tiles
from napari_unet.model.checkpoint import Checkpoint
from napari_unet.model.config import UNetConfig
from napari_unet.model.geometry import Geometry, geometry_of
from napari_unet.model.unet import UNet

relaxed = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


class Tiled(UNet):
    """Not swept: its tiles have halos on all sides."""


@st.composite
def configs(draw):
    ndim = draw(st.sampled_from([2, 3]))
    depth = draw(st.integers(0, 3 if ndim == 2 else 2))
    pooling = tuple(
        tuple(draw(st.sampled_from([1, 2])) if axis == 0 and ndim == 3 else 2 for axis in range(ndim))
        for _ in range(depth)
    )
    return UNetConfig(
        ndim=ndim,
        features=tuple(2 * 2**level for level in range(depth + 1)),
        pooling=pooling,
        out_channels=draw(st.integers(1, 3)),
        convolutions=draw(st.integers(1, 2)),
        norm=draw(st.sampled_from(["batch", "none"])),
        order=draw(st.sampled_from(["cna", "nca", "can"])),
        upsampling=draw(st.sampled_from(["transpose", "interpolate"])),
        residual=draw(st.booleans()),
    )


def sizes(config, most_2d=150, most_3d=28):
    most = most_2d if config.ndim == 2 else most_3d
    return st.tuples(*[st.integers(1, most)] * config.ndim)


@settings(relaxed, max_examples=40)
@given(data=st.data(), config=configs(), voxels=st.integers(1, 4000), tile=st.none() | st.integers(1, 40))
def test_inner_boxes_partition_the_image(data, config, voxels, tile):
    geometry = geometry_of(config)
    exact = data.draw(st.booleans())
    geometry = replace(geometry, exact=exact)
    spatial = data.draw(sizes(config, 70, 20))
    times, planes = data.draw(st.integers(1, 2)), data.draw(st.integers(1, 2))
    shape = (times, planes, *spatial) if config.ndim == 2 else (times, *spatial)
    corner = [data.draw(st.integers(0, n - 1)) for n in shape]
    view = (
        corner[0],
        tuple(slice(c, data.draw(st.integers(c + 1, n))) for c, n in zip(corner[1:], shape[1:], strict=True)),
    )
    plan = plan_tiles(shape, geometry, voxels=voxels, most=4 * voxels, tile=tile, view=view)
    covered = np.zeros(shape, int)
    for index, one in enumerate(plan.tiles):
        assert one.index == index
        covered[(one.t, *one.inner)] += 1
        for axis, (inner, outer) in enumerate(zip(one.inner, one.outer, strict=True)):
            if plan.flat and axis == 0:
                assert inner == outer == slice(one.z, one.z + 1)
                continue
            length, step, halo = plan.padded[axis], plan.divisor[axis], plan.halo[axis]
            assert outer.start % step == outer.stop % step == 0
            assert 0 <= outer.start <= inner.start < inner.stop <= outer.stop <= length
            assert outer.start == 0 or inner.start - outer.start >= halo
            assert outer.stop == length or outer.stop - inner.stop >= halo
    assert (covered == 1).all()
    seen = [one.t == view[0] and overlap(one.inner, view[1]) is not None for one in plan.tiles]
    assert seen == sorted(seen, reverse=True), "what is in view comes first"
    only = plan_tiles(shape, geometry, voxels=voxels, most=4 * voxels, tile=tile, view=view, only_view=True)
    assert [one.inner for one in only.tiles] == [one.inner for one, here in zip(plan.tiles, seen, strict=True) if here]


@settings(relaxed, max_examples=25)
@given(
    data=st.data(),
    config=configs(),
    tile=st.integers(1, 48),
    seed=st.integers(0, 99),
    network=st.sampled_from([UNet, UNet, Tiled]),
)
def test_tiled_equals_untiled(make_checkpoint, data, config, tile, seed, network):
    checkpoint = make_checkpoint(network, seed=seed, **config.to_dict())
    shape = data.draw(sizes(config))
    image = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    source = ImageSource.from_array(image, "YX" if config.ndim == 2 else "ZYX")
    statistics = Statistics((0.1,), (0.8,), "given")
    tiled = Predictor(checkpoint, "cpu", "float32", tile=tile, threads=1).predict(source, statistics=statistics)
    divisor = checkpoint.geometry.divisor
    padded = np.pad((image - 0.1) / 0.8, [(0, -n % d) for n, d in zip(shape, divisor, strict=True)], mode="edge")
    with torch.inference_mode():
        logits = checkpoint.network(torch.from_numpy(padded.astype(np.float32))[None, None])
        scores = torch.sigmoid(logits) if config.out_channels == 1 else torch.softmax(logits, 1)
    untiled = scores[0].numpy()[(slice(None), *(slice(n) for n in shape))]
    np.testing.assert_allclose(tiled, untiled, atol=1e-4, rtol=0)


def test_a_halo_too_small_would_show(make_checkpoint):
    checkpoint = make_checkpoint(Tiled, features=(4, 8, 16))
    image = np.random.default_rng(0).normal(size=(96, 96)).astype(np.float32)
    whole = Predictor(checkpoint, "cpu", "float32", tile=96, threads=1).predict(image, "YX")
    checkpoint.__class__ = type("Short", (type(checkpoint),), {"geometry": Geometry((4, 4), (3, 3), True)})
    short = Predictor(checkpoint, "cpu", "float32", tile=16, threads=1).predict(image, "YX")
    assert np.abs(short - whole).max() > 1e-3


def test_small_images_are_one_tile_and_large_ones_waste_little():
    geometry = geometry_of(UNetConfig(features=(16, 32, 64, 128, 256)))
    assert len(plan_tiles((1, 1, 520, 696), geometry).tiles) == 1
    large = plan_tiles((1, 1, 8192, 8192), geometry)
    assert large.waste < 2.2
    assert max(volume(tile.outer) for tile in large.tiles) <= 704**2
    deep = geometry_of(UNetConfig(ndim=3, features=(16, 32, 64, 128)))
    assert plan_tiles((1, 64, 512, 512), deep).waste <= 3


def test_times_and_planes_can_be_chosen():
    geometry = geometry_of(UNetConfig(features=(4, 8)))
    plan = plan_tiles((3, 5, 20, 20), geometry, times=[2], planes=[4, 1])
    assert [(tile.t, tile.z) for tile in plan.tiles] == [(2, 4), (2, 1)]


def test_halves_make_up_the_tile():
    geometry = geometry_of(UNetConfig(ndim=3, features=(4, 8)))
    plan = plan_tiles((1, 9, 40, 21), geometry)
    axis, first, second = plan.halves(plan.tiles[0])
    assert axis == 1
    assert volume(first.inner) + volume(second.inner) == 9 * 40 * 21
    assert first.inner[1].stop == second.inner[1].start == 20
    single = plan_tiles((1, 1, 1, 1), geometry).tiles[0]
    assert plan.halves(single) is None


@settings(relaxed, max_examples=30)
@given(data=st.data(), flat=st.booleans(), tile=st.integers(1, 30))
def test_window_blends_without_a_trace_where_tiles_agree(data, flat, tile):
    ndim = 2 if flat else 3
    geometry = Geometry((4,) * ndim, (12,) * ndim, False)
    spatial = tuple(data.draw(st.integers(1, 60 if flat else 24)) for _ in range(ndim))
    plan = plan_tiles((1, 2, *spatial) if flat else (1, *spatial), geometry, tile=tile)
    order = data.draw(st.permutations(plan.tiles)) if len(plan.tiles) < 40 else plan.tiles
    stop = data.draw(st.integers(0, len(order)))
    window = WindowBlender(plan)
    truth = np.random.default_rng(0).normal(size=(2, 80, 120, 120)).astype(np.float32)
    finished = []
    for one in order[:stop]:
        finished += window.add(one, truth[(slice(None), *one.outer)])
    finished += window.flush()
    assert sorted(one.index for one, _ in finished) == sorted(one.index for one in order[:stop])
    for one, scores in finished:
        np.testing.assert_allclose(scores, truth[(slice(None), *one.inner)], atol=1e-5)


def test_window_lets_neighbours_fade_into_each_other():
    plan = plan_tiles((1, 1, 8, 128), Geometry((4, 4), (40, 40), False), tile=64)
    window = WindowBlender(plan)
    left, right = plan.tiles
    assert not list(window.add(left, np.zeros((1, *extent(left.outer)), np.float32)))
    row = np.zeros(128)
    for one, scores in window.add(right, np.ones((1, *extent(right.outer)), np.float32)):
        row[one.inner[2]] = scores[0, 0, 0]
    assert plan.trim[2] < plan.halo[2] == 44
    np.testing.assert_allclose(row[:52], 0, atol=1e-5)
    np.testing.assert_allclose(row[76:], 1, atol=1e-5)
    assert (np.diff(row) >= 0).all() and np.diff(row).max() < 0.05
    assert row[63] + row[64] == pytest.approx(1)


def test_a_foreign_network_that_is_local_shows_no_seams():
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, 3, padding=1),
        torch.nn.BatchNorm2d(4),
        torch.nn.ReLU(),
        torch.nn.Conv2d(4, 2, 5, padding=2),
    )
    checkpoint = Checkpoint.from_module(network, ndim=2, in_channels=1, out_channels=2)
    assert not checkpoint.geometry.exact
    image = np.random.default_rng(0).normal(size=(150, 97))
    tiled, whole = (Predictor(checkpoint, "cpu", "float32", tile=t, threads=1).predict(image, "YX") for t in (16, 150))
    np.testing.assert_allclose(tiled, whole, atol=1e-4)


@pytest.mark.parametrize("wanted", [{"planes": [7]}, {"planes": [-1]}, {"times": [2]}])
def test_planes_and_times_that_are_not_there_are_refused(wanted):
    with pytest.raises(ImageError, match="was asked for; the image has"):
        plan_tiles((2, 3, 20, 20), geometry_of(UNetConfig(features=(4, 8))), **wanted)
