"""The predictor: every kind of image, streaming, stopping, memory, labels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage

from napari_unet.errors import CheckpointError, DeviceError, ImageError
from napari_unet.image.normalize import measure
from napari_unet.image.source import ImageSource
from napari_unet.inference.labels.objects import ObjectSettings, decode
from napari_unet.inference.options import PredictOptions
from napari_unet.inference.predictor import Predictor, match_channels, matched_source
from napari_unet.inference.routing import PLANES_ALONE
from napari_unet.model.checkpoint import load_checkpoint
from napari_unet.model.header import COLORS, ClassInfo, Output
from napari_unet.model.unet import UNet

PAIR = (ClassInfo("background", COLORS[0]), ClassInfo("object", COLORS[1]))
INSTANCES = Output("instances", "softmax", ("background", "interior", "boundary"), PAIR)


def predictor(checkpoint, **options):
    return Predictor(checkpoint, **{"device": "cpu", "precision": "float32", "threads": 1, **options})


def noise(*shape, seed=0):
    return np.random.default_rng(seed).normal(100, 20, shape).astype(np.float32)


@pytest.fixture
def flat(make_checkpoint):
    return make_checkpoint()


@pytest.fixture
def deep(make_checkpoint):
    return make_checkpoint(ndim=3)


@pytest.mark.parametrize(
    ("axes", "shape", "expected"),
    [
        ("YX", (33, 20), (3, 33, 20)),
        ("XY", (20, 33), (3, 33, 20)),
        ("ZYX", (3, 17, 20), (3, 3, 17, 20)),
        ("TYX", (2, 17, 20), (2, 3, 17, 20)),
        ("YXTZ", (17, 20, 2, 3), (2, 3, 3, 17, 20)),
        ("YX", (1, 1), (3, 1, 1)),
    ],
)
def test_axes_of_a_2d_model(flat, axes, shape, expected):
    image = noise(*shape)
    scores = predictor(flat).predict(image, axes)
    assert scores.shape == expected and scores.dtype == np.float32
    np.testing.assert_allclose(scores.sum(axis=1 if "T" in axes else 0), 1, atol=1e-5)
    assert predictor(flat).segment(image, axes).shape == shape


def test_a_stack_is_a_plane_after_the_other(flat):
    stack = noise(3, 20, 24)
    one = predictor(flat)
    statistics = one.measure(ImageSource.from_array(stack, "ZYX"))
    whole = one.predict(stack, "ZYX")
    for z in range(3):
        np.testing.assert_allclose(whole[:, z], one.predict(stack[z], "YX", statistics=statistics), atol=1e-5)


def test_a_3d_model_over_time_and_without_z(deep):
    movie = noise(2, 5, 12, 9)
    one = predictor(deep)
    scores = one.predict(movie, "TZYX")
    assert scores.shape == (2, 3, 5, 12, 9)
    statistics = one.measure(ImageSource.from_array(movie, "TZYX"))
    np.testing.assert_allclose(scores[1], one.predict(movie[1], "ZYX", statistics=statistics), atol=1e-5)
    assert one.predict(noise(1, 8, 8), "ZYX").shape == (3, 1, 8, 8)
    with pytest.raises(ImageError, match="is 3D, but the image 'image' has no Z axis: its axes are TYX"):
        one.predict(noise(4, 8, 8), "TYX")


@pytest.mark.parametrize(
    "dtype", ["bool", "u1", "i1", "u2", ">u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", ">f4", "f8"]
)
def test_every_dtype(flat, dtype):
    values = np.random.default_rng(0).integers(0, 2 if dtype == "bool" else 100, (20, 30)).astype(dtype)
    scores = predictor(flat).predict(values, "YX")
    expected = predictor(flat).predict(values.astype(np.float32), "YX")
    np.testing.assert_allclose(scores, expected, atol=1e-4)


@pytest.mark.parametrize("values", [np.nan, 0.0, 7.0, -3.0])
def test_constant_images_and_images_of_nothing(flat, values):
    image = np.full((20, 20), values)
    if np.isnan(values):
        with pytest.raises(ImageError, match="no finite value"):
            predictor(flat).predict(image, "YX")
        return
    assert np.isfinite(predictor(flat).predict(image, "YX")).all()


def test_some_nan_stays_finite(flat):
    image = noise(20, 20)
    image[3:6, 3:6] = np.nan
    image[10, 10] = np.inf
    assert np.isfinite(predictor(flat).predict(image, "YX")).all()


def test_lazy_arrays(flat):
    image = noise(2, 40, 50)
    expected = predictor(flat).predict(image, "ZYX")
    zarr = pytest.importorskip("zarr")
    stored = zarr.array(image, chunks=(1, 16, 16))
    np.testing.assert_array_equal(predictor(flat).predict(stored, "ZYX"), expected)
    dask = pytest.importorskip("dask.array")
    np.testing.assert_array_equal(predictor(flat).predict(dask.from_array(image, chunks=16), "ZYX"), expected)


def test_frames_too_large_to_keep_are_read_by_tile(flat, monkeypatch):
    image = noise(60, 70)
    expected = predictor(flat, tile=16).predict(image, "YX")
    monkeypatch.setattr("napari_unet.inference.tiles.normalized.KEPT_VALUES", 0)
    np.testing.assert_array_equal(predictor(flat, tile=16).predict(image, "YX"), expected)


def test_channels_that_fit_and_that_do_not(make_checkpoint):
    assert match_channels(2, 2) == "same"
    with pytest.raises(ImageError, match="The image has 2 channels, but the model takes 1. Choose which 1"):
        match_channels(2, 1)
    with pytest.raises(ImageError, match="The image has 1 channel, but the model takes 3. Add the missing"):
        match_channels(1, 3)
    with pytest.raises(ImageError):
        predictor(make_checkpoint(in_channels=2)).predict(noise(8, 8), "YX")
    two = predictor(make_checkpoint(in_channels=2))
    image = noise(2, 12, 12)
    assert two.predict(image, "CYX").shape == (3, 12, 12)
    swapped = ImageSource(image[::-1], "CYX", channels=(1, 0))
    np.testing.assert_allclose(two.predict(swapped), two.predict(image, "CYX"), atol=1e-6)


def test_what_is_done_to_an_image_is_told(flat, make_checkpoint):
    one = predictor(flat)
    one.predict(noise(3, 16, 16), "ZYX")
    assert one.notes == (PLANES_ALONE,)
    colours = make_checkpoint(in_channels=3)
    colours = replace(colours, header=replace(colours.header, repeat_gray=True))
    stained = predictor(colours)
    stained.predict(noise(3, 16, 16), "CYX")
    assert "taken for red, green and blue" in stained.notes[0]
    stained.predict(noise(16, 16), "YX")
    assert stained.notes == ("One channel feeds each of the model's 3 channels.",)


def test_colour_into_a_gray_model_uses_the_luminance(flat):
    rgb = np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8)
    one = predictor(flat)
    scores = one.predict(rgb, "YXC")
    assert one.notes == ("The image is RGB and the model takes one channel: its luminance is used (ITU-R BT.601).",)
    gray = rgb @ np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(scores, one.predict(gray, "YX"), atol=1e-4)
    assert one.notes == ()
    rgba = np.dstack([rgb, np.full(rgb.shape[:2], 255, np.uint8)])
    np.testing.assert_allclose(one.predict(rgba), scores, atol=1e-6)


def test_gray_into_a_colour_model_is_repeated(make_checkpoint):
    checkpoint = make_checkpoint(in_channels=3)
    checkpoint.header = replace(checkpoint.header, repeat_gray=True)
    image = noise(16, 16)
    one = predictor(checkpoint)
    scores = one.predict(image, "YX")
    np.testing.assert_allclose(scores, one.predict(np.stack([image] * 3), "CYX"), atol=1e-6)
    source, note = matched_source(ImageSource.from_array(image), checkpoint.header)
    assert source.n_channels == 3 and "each of the model's 3 channels" in note


def test_normalization_is_of_the_whole_image_not_of_the_tile(flat):
    image = noise(64, 64)
    image[:, 32:] += 1000
    np.testing.assert_allclose(
        predictor(flat, tile=8).predict(image, "YX"), predictor(flat, tile=64).predict(image, "YX"), atol=1e-4
    )


def test_stream_serves_the_view_first_and_keeps_what_was_done(flat):
    source = ImageSource.from_array(noise(2, 64, 64), "ZYX")
    one = predictor(flat, tile=16)
    whole = one.predict(source)
    view = (0, (slice(1, 2), slice(40, 60), slice(40, 60)))
    seen = list(one.stream(source, view=view))
    assert [s.done for s in seen] == list(range(1, 33)) and {s.total for s in seen} == {32}
    assert [s.tile.z for s in seen] == [1] * 16 + [0] * 16
    assert {(s.tile.inner[1].start, s.tile.inner[2].start) for s in seen[:4]} == {
        (32, 32),
        (32, 48),
        (48, 32),
        (48, 48),
    }
    only = list(one.stream(source, view=view, only_view=True))
    assert len(only) == 4 and only[-1].total == 4
    stopped = []
    stopped.extend(one.stream(source, should_stop=lambda: len(stopped) == 5))
    assert len(stopped) == 5
    for s in (*only, *stopped):
        np.testing.assert_allclose(s.scores, whole[(slice(None), *s.tile.inner)], atol=1e-5)
    assert {s.tile.z for s in one.stream(source, planes=[1])} == {1}


def test_stop_within_a_tile_ends_the_stream(flat):
    source = ImageSource.from_array(noise(64, 64))
    calls = []
    tiles = predictor(flat, tile=16).stream(source, should_stop=lambda: bool(calls.append(1)))
    next(tiles)
    first = len(calls)
    assert first > 5, "asked before each layer"
    calls.clear()

    def stop():
        calls.append(1)
        return len(calls) > first + 3

    done = list(predictor(flat, tile=16).stream(source, should_stop=stop))
    assert len(done) == 1 and len(calls) == first + 4


@pytest.mark.parametrize("norm", ["instance", "group"])
@pytest.mark.parametrize("ndim", [2, 3])
def test_networks_that_see_the_whole_tile_are_blended(make_checkpoint, norm, ndim):
    checkpoint = make_checkpoint(norm=norm, groups=4, ndim=ndim)
    assert not checkpoint.geometry.exact
    image = noise(*(150, 70) if ndim == 2 else (20, 40, 40))
    axes = "YX" if ndim == 2 else "ZYX"
    tiled, whole = (predictor(checkpoint, tile=t).predict(image, axes) for t in (16, 200))
    assert tiled.shape == whole.shape
    np.testing.assert_allclose(tiled.sum(axis=0), 1, atol=1e-4)
    assert np.abs(tiled - whole).mean() < 0.1
    assert predictor(checkpoint).predict(noise(*(1,) * ndim), axes).shape == (3, *(1,) * ndim)
    kept = []
    source = ImageSource.from_array(image, axes)
    kept.extend(predictor(checkpoint, tile=16).stream(source, should_stop=lambda: len(kept) > 2))
    numbers = [one.tile.index for one in kept]
    assert len(numbers) == len(set(numbers)) >= 3


class Cramped(UNet):
    """Runs out of memory above a number of values."""

    most = 40 * 40

    def forward(self, x):
        if x.numel() > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return super().forward(x)


class Never(UNet):
    """Runs out of memory on anything larger than the probe."""

    def forward(self, x):
        if x.numel() > 64:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return super().forward(x)


def test_smaller_tiles_when_memory_runs_out(make_checkpoint):
    image = noise(3, 90, 101)
    expected = predictor(make_checkpoint()).predict(image, "ZYX")
    one = predictor(make_checkpoint(Cramped))
    np.testing.assert_allclose(one.predict(image, "ZYX"), expected, atol=1e-5)
    assert one.notes == (PLANES_ALONE, "Memory ran out on cpu: the tiles were made smaller.")
    with pytest.raises(DeviceError, match="Memory ran out on cpu even for the smallest tile .time 0, z 0:1, y 0:"):
        predictor(make_checkpoint(Never)).predict(image, "ZYX")


def test_smaller_tiles_of_a_blended_network(make_checkpoint):
    image = noise(150, 40)
    one = predictor(make_checkpoint(Cramped, norm="instance"), tile=150)
    one.engine._network.most = 120 * 40
    scores = one.predict(image, "YX")
    assert one.notes and np.isfinite(scores).all()
    np.testing.assert_allclose(scores.sum(axis=0), 1, atol=1e-4)


class Poisoned(UNet):
    """Returns NaN where the input is very bright."""

    def forward(self, x):
        return super().forward(x) + torch.where(x.amax() > 1e3, torch.nan, 0.0)


def test_a_tile_of_nan_is_named_and_the_ones_before_stand(make_checkpoint):
    image = noise(64, 64)
    image[60, 60] = 1e9
    done = []
    stream = predictor(make_checkpoint(Poisoned), tile=16).stream(ImageSource.from_array(image))
    with pytest.raises(CheckpointError, match="time 0, z 0:1, y 48:64, x 48:64"):
        done.extend(stream)
    assert len(done) == 15


def test_segment_numbers_objects_over_all_planes(make_checkpoint):
    checkpoint = make_checkpoint(output=INSTANCES)
    image = ndimage.gaussian_filter(noise(2, 3, 60, 60), (0, 0, 2, 2))
    loose = ObjectSettings(min_size=4, threshold=0.2)
    apart = PredictOptions(join_z=False)
    labels = predictor(checkpoint, tile=32, options=apart).segment(image, "TZYX", settings=loose)
    assert labels.dtype == np.uint32 and labels.shape == image.shape
    per_plane = [set(np.unique(plane)) - {0} for plane in labels.reshape(6, 60, 60)]
    assert sum(map(len, per_plane)) == len(set.union(*per_plane)) == labels.max() > 6
    scores = predictor(checkpoint).predict(image, "TZYX")
    np.testing.assert_array_equal(labels[0, 0], decode(scores[0][:, 0], INSTANCES, loose))


def test_segment_keeps_the_axes_and_reports_progress(deep):
    image = noise(6, 20, 2, 14)
    seen = []
    labels = predictor(deep, tile=8).segment(image, "ZYTX", progress=lambda done, total: seen.append((done, total)))
    assert labels.shape == image.shape
    assert seen[-1][0] == seen[-1][1] == len(seen)
    scores = predictor(deep).predict(image, "ZYTX")
    np.testing.assert_array_equal(labels[:, :, 1], scores[1].argmax(axis=0))


def test_statistics_of_other_channels_are_measured_again(flat):
    rgb = np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8)
    source = ImageSource.from_array(rgb)
    one = predictor(flat)
    np.testing.assert_array_equal(
        one.predict(source, statistics=measure(source, flat.header.normalization)), one.predict(source)
    )


@pytest.mark.shared_data
def test_the_built_in_model_on_real_nuclei(shared_data):
    skimage_io = pytest.importorskip("skimage.io")
    tifffile = pytest.importorskip("tifffile")
    name = "003cee89357d"
    image = skimage_io.imread(shared_data / "dsb2018" / "images" / f"{name}.png")
    truth = tifffile.imread(shared_data / "dsb2018" / "labels" / f"{name}.tif")
    checkpoint = load_checkpoint("nuclei-2d")
    tiled = predictor(checkpoint, tile=64).predict(image, "YX")
    whole = predictor(checkpoint, tile=4096).predict(image, "YX")
    assert np.abs(tiled - whole).max() <= 1e-4
    exact = decode(whole, checkpoint.header.output)
    labels = predictor(checkpoint, precision="auto").segment(image, "YX")
    assert ((labels > 0) == (exact > 0)).mean() > 0.999
    assert abs(int(exact.max()) - len(np.unique(truth)) + 1) <= 0.2 * len(np.unique(truth))
    union = ((exact > 0) | (truth > 0)).sum()
    assert ((exact > 0) & (truth > 0)).sum() / union > 0.8
