"""Passing an image along one axis: any axis, any order of tiles, any slab; out of memory at any layer."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_unet.image.boxes import extent
from napari_unet.image.normalize import Statistics
from napari_unet.image.source import ImageSource
from napari_unet.inference.network.footprint import footprint
from napari_unet.inference.network.rows import Waiting, stacked
from napari_unet.inference.network.slabs import LEAST_ROWS, bytes_across
from napari_unet.inference.network.turning import axis_order, turned, turned_network
from napari_unet.inference.options import PredictOptions
from napari_unet.inference.predictor import Predictor
from napari_unet.inference.tiles.normalized import NormalizedFrames
from napari_unet.inference.tiles.sizing import sweeping_step
from napari_unet.model.config import UNetConfig, Widths
from napari_unet.model.geometry import geometry_of

relaxed = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
AS_IT_IS = Statistics((0.0,), (1.0,), "given")
UNEVEN = Widths(encoder=((2, 4), (5, 6), (7, 8)), rising=(3, 8), decoder=((5, 3), (4, 5)))
OPTIONS = (
    {},
    {"upsampling": "interpolate"},
    {"residual": True, "order": "nca"},
    {"activation": "elu"},
    {"upsampling": "nearest", "widths": replace(UNEVEN, rising=(5, 8))},
    {"upsampling": "interpolate", "project": True, "kernels": ((1, 3, 3), (3, 3, 1), (3, 3, 3))},
    {"upsampling": "nearest", "project": True, "activation": "leaky_relu", "slope": 0.1},
    {"widths": UNEVEN, "kernels": ((3, 1, 3), (1, 1, 3), (3, 3, 3)), "residual": True},
)


def image_of(shape, seed=0):
    image = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    return ImageSource.from_array(image, "ZYX"[-len(shape) :])


def frames_of(predictor, source):
    header = predictor.checkpoint.header
    return NormalizedFrames(source, AS_IT_IS, header.normalization, header.ndim == 2)


def scores_of(predictor, source, plan, should_stop=None):
    result = np.full((3, *source.shape[1:]), np.nan, np.float32)
    for one in predictor._runner.tiles(plan, frames_of(predictor, source), should_stop):
        result[(slice(None), *one.tile.inner)] = one.scores
    return result


@pytest.mark.parametrize("options", OPTIONS)
def test_any_axis_and_any_order_of_tiles_give_the_same_scores(make_checkpoint, options):
    checkpoint = make_checkpoint(ndim=3, features=(4, 6, 8), pooling=((1, 2, 2), (2, 2, 2)), **options)
    source = image_of((13, 26, 35))
    predictor = Predictor(checkpoint, "cpu", "float32", tile=8, threads=1)
    assert predictor.engine.sweeps
    plan = predictor.plan(source)
    expected = scores_of(predictor, source, plan)
    assert np.isfinite(expected).all()
    rng = np.random.default_rng(1)
    for along in range(3):
        tiles = tuple(plan.tiles[i] for i in rng.permutation(len(plan.tiles)))
        shuffled = scores_of(predictor, source, replace(plan, tiles=tiles, along=along))
        np.testing.assert_allclose(shuffled, expected, atol=2e-5)


@settings(relaxed, max_examples=25)
@given(
    data=st.data(),
    length=st.integers(1, 12),
    axis=st.integers(0, 1),
    upsampling=st.sampled_from(["transpose", "interpolate"]),
)
def test_a_footprint_holds_what_the_whole_needs(data, length, axis, upsampling):
    config = UNetConfig(features=(4, 8, 8), upsampling=upsampling)
    size = 4 * length
    start = data.draw(st.integers(0, size - 1))
    stop = data.draw(st.integers(start + 1, size))
    levels = footprint(config, axis, (start, stop), size)
    # Interpolation is given one coarse voxel more than it reads for half of the fine ones.
    radius = geometry_of(config).receptive_field[axis] + (4 if upsampling == "interpolate" else 0)
    assert max(0, start - radius) <= levels[0].entry[0] <= start
    assert stop <= levels[0].entry[1] <= min(size, stop + radius)
    whole = footprint(config, axis, (0, size), size)
    assert [level.entry for level in whole] == [(0, size), (0, size // 2), (0, size // 4)]


def test_turning_a_network_turns_its_result(make_checkpoint):
    network = make_checkpoint(ndim=3, features=(4, 8), pooling=((1, 2, 2),)).network
    image = torch.randn(1, 1, 6, 8, 12)
    with torch.inference_mode():
        expected = network(image)
        for along in range(3):
            order = axis_order(3, along)
            assert turned(network.config, order).poolings == ((*(network.config.poolings[0][a] for a in order),),)
            axes = (0, 1, *(2 + axis for axis in order))
            result = turned_network(network, order)(image.permute(axes))
            torch.testing.assert_close(result, expected.permute(axes), atol=1e-5, rtol=1e-4)


def test_rows_wait_in_order():
    waiting = Waiting(given=3, start=5)
    rows = torch.arange(3, 13.0).reshape(1, 1, 10, 1)
    waiting.add(rows[:, :, :1])
    waiting.add(rows[:, :, 1:6])
    waiting.add(rows[:, :, 6:])
    assert waiting.stop == 13
    assert stacked(waiting.take(10)).flatten().tolist() == [5, 6, 7, 8, 9]
    assert stacked(waiting.take(13)).flatten().tolist() == [10, 11, 12]


NO_MEMORY = (
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    RuntimeError("MPS backend out of memory (MPS allocated: 17.9 GB, max allowed: 18.1 GB)"),
    RuntimeError("Invalid buffer size: 19.45 GB"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory"),
    MemoryError(),
)


@settings(relaxed, max_examples=12)
@given(
    failing=st.sets(st.integers(1, 120), max_size=6),
    tile=st.sampled_from([16, 24, 64]),
    seed=st.integers(0, 9),
    error=st.sampled_from(NO_MEMORY),
)
def test_out_of_memory_at_any_layer_changes_nothing(make_checkpoint, failing, tile, seed, error):
    checkpoint = make_checkpoint(features=(4, 8, 8), seed=seed)
    source = image_of((50, 70), seed)
    calm = Predictor(checkpoint, "cpu", "float32", tile=tile, threads=1)
    expected = scores_of(calm, source, calm.plan(source))
    shaken = Predictor(checkpoint, "cpu", "float32", tile=tile, threads=1)
    asked = 0

    def should_stop():
        nonlocal asked
        if shaken.engine._should_stop is not None:
            asked += 1
            if asked in failing:
                raise error
        return False

    scores = scores_of(shaken, source, shaken.plan(source), should_stop)
    np.testing.assert_allclose(scores, expected, atol=2e-5)
    assert ("Memory ran out" in " ".join(shaken.notes)) == (asked >= min(failing, default=10**9))


def test_less_memory_makes_narrower_bands():
    divisor, halo, padded = (8, 8, 8), (64, 64, 64), (64, 512, 512)
    assert sweeping_step(padded, divisor, halo, 2**20, 2**30, near=False) == (1, (64, 32, 512))
    along, step = sweeping_step(padded, divisor, halo, 2**20, 64 * 256, near=False)
    assert np.prod(step) // step[along] <= 64 * 256
    tall = sweeping_step((1024, 256, 256), divisor, halo, 2**20, 2**30, near=False)
    assert tall[0] == 0 and tall[1][1:] == (256, 256)


def test_memory_sets_the_plan(make_checkpoint):
    checkpoint = make_checkpoint(features=(8, 16, 32, 64))
    source = image_of((256, 4096))
    wide = Predictor(checkpoint, "cpu", "float32", options=PredictOptions(memory_gb=4.0)).plan(source)
    narrow = Predictor(checkpoint, "cpu", "float32", options=PredictOptions(memory_gb=0.004)).plan(source)
    assert extent(wide.tiles[0].inner)[2] == 4096
    assert extent(narrow.tiles[0].inner)[2] < 1024
    config = checkpoint.header.config
    assert bytes_across(config, 0, 4) == 2 * bytes_across(config, 0, 2) - 4.0 * LEAST_ROWS * 7


def test_tiles_in_view_are_compact_and_come_first(make_checkpoint):
    predictor = Predictor(make_checkpoint(features=(16, 32, 64, 128)), "cpu", "float32")
    source = image_of((64, 64))
    big = replace(source, data=np.zeros((8192, 8192), np.uint8))
    plan = predictor.plan(big, view=(0, (slice(0, 1), slice(4000, 5000), slice(4000, 5000))))
    _, y, x = extent(plan.tiles[0].inner)
    assert max(y, x) <= 4 * min(y, x)
    after = [tile for tile in plan.tiles if tile.inner[2].start > 5200][:6]
    follows = [a.inner[1].stop == b.inner[1].start for a, b in pairwise(after)]
    assert all(follows), "beyond the view tiles follow each other"


@pytest.mark.parametrize("shape", [(150, 40), (20, 90, 30)])
def test_a_large_image_is_read_once(make_checkpoint, monkeypatch, shape):
    monkeypatch.setattr("napari_unet.inference.tiles.normalized.KEPT_VALUES", 3000)
    checkpoint = make_checkpoint(ndim=len(shape), features=(4, 8))
    source = image_of(shape)
    rows = []

    class Counting:
        def __init__(self, data):
            self.data, self.shape, self.ndim, self.dtype = data, data.shape, data.ndim, data.dtype

        def __getitem__(self, key):
            block = self.data[key]
            rows.append(block.size)
            return block

    predictor = Predictor(checkpoint, "cpu", "float32", tile=4096, threads=1)
    expected = scores_of(predictor, source, predictor.plan(source))
    predictor.engine._slab = 1
    rows.clear()
    counted = replace(source, data=Counting(source.data))
    np.testing.assert_allclose(scores_of(predictor, counted, predictor.plan(counted)), expected, atol=2e-5)
    assert sum(rows) <= 1.1 * np.prod(shape)


def test_a_stream_forgets_that_memory_ran_out_before(make_checkpoint):
    predictor = Predictor(make_checkpoint(features=(4, 8)), "cpu", "float32", tile=16, threads=1)
    source = image_of((64, 64))
    predictor._runner.too_large = 1
    assert predictor.notes
    assert len(list(predictor.stream(source, AS_IT_IS))) == 16
    assert not predictor.notes


@pytest.mark.parametrize("ends_early", [False, True])
def test_a_stream_leaves_nothing_behind(make_checkpoint, ends_early):
    predictor = Predictor(make_checkpoint(features=(4, 8)), "cpu", "float32", tile=16, threads=1)
    stream = predictor.stream(image_of((64, 64)), AS_IT_IS)
    assert next(stream).total == 16
    assert predictor._runner._bands._band is not None
    assert ends_early or len(list(stream)) == 15
    stream.close()
    assert predictor._runner._bands._band is None
    assert predictor._runner._bands._frames is None
