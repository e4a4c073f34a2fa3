"""Statistics of whole images: exact where they fit, robust against what real images hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_unet.errors import CheckpointError, ImageError
from napari_unet.image import sampling
from napari_unet.image.normalize import Normalization, apply, measure
from napari_unet.image.source import ImageSource

TYPES = ("u1", "i1", "u2", "i2", ">u2", "u4", "i4", "u8", "i8", "f2", "f4", "f8")


@given(st.sampled_from(TYPES), st.data())
def test_percentiles_are_those_of_numpy(kind: str, data: st.DataObject) -> None:
    elements = st.integers(0, 100) if np.dtype(kind).kind == "u" else st.integers(-100, 100)
    image = data.draw(arrays(np.dtype(kind), (2, 5, 7), elements=elements))
    low, high = data.draw(st.sampled_from([(1.0, 99.8), (0.0, 100.0), (25.0, 60.0)]))
    statistics = measure(ImageSource(image, "CYX"), Normalization(low=low, high=high))
    for channel in range(2):
        expected = np.percentile(image[channel].astype(float), (low, high, 100))
        assert statistics.offset[channel] == pytest.approx(expected[0])
        span = expected[1] - expected[0] or expected[2] - expected[0] or 1
        assert statistics.scale[channel] == pytest.approx(span)


@pytest.mark.parametrize("kind", TYPES)
def test_zscore_gives_mean_zero_and_deviation_one(kind: str) -> None:
    image = np.random.default_rng(0).integers(0, 100, (3, 4, 40, 50)).astype(kind)
    normalization = Normalization("zscore", per_channel=False)
    source = ImageSource(image, "TCYX")
    statistics = measure(source, normalization)
    result = np.concatenate([apply(source.read(t), statistics, normalization) for t in range(3)])
    assert result.dtype == np.float32
    assert abs(result.mean()) < 1e-5
    assert result.std() == pytest.approx(1, abs=1e-4)
    assert len(set(statistics.offset)) == 1


def test_channels_are_measured_apart_or_together() -> None:
    image = np.stack([np.full((4, 4), 10.0), np.full((4, 4), 30.0)])
    image[:, 0] += 5
    apart = measure(ImageSource(image, "CYX"), Normalization("zscore"))
    together = measure(ImageSource(image, "CYX"), Normalization("zscore", per_channel=False))
    assert apart.offset == pytest.approx((11.25, 31.25))
    assert together.offset == pytest.approx((21.25, 21.25))


@pytest.mark.parametrize("method", ["percentile", "zscore"])
@pytest.mark.parametrize("value", [0, 0.1, 7, 1e6 + 0.1, -3])
def test_a_constant_image_becomes_zero(method: Any, value: float) -> None:
    source = ImageSource(np.full((20, 30), value), "YX")
    normalization = Normalization(method)
    statistics = measure(source, normalization)
    assert statistics.scale == (1.0,)
    assert np.allclose(apply(source.read(0), statistics, normalization), 0)


def test_a_nearly_empty_image_is_not_blown_up() -> None:
    image = np.zeros((100, 100), np.uint16)
    image[5, 5:8] = 40000
    source = ImageSource(image, "YX")
    statistics = measure(source, Normalization())
    assert apply(source.read(0), statistics, Normalization()).max() == 1


@pytest.mark.parametrize("method", ["percentile", "zscore"])
def test_nan_and_infinity_are_left_out_and_become_zero(method: Any) -> None:
    image = np.random.default_rng(0).normal(size=(1, 30, 30)).astype(np.float32)
    broken = image.copy()
    broken[0, 3, :5] = (np.nan, np.inf, -np.inf, np.nan, np.nan)
    keep = np.isfinite(broken)
    normalization = Normalization(method)
    statistics = measure(ImageSource(broken, "CYX"), normalization)
    expected = np.percentile(broken[keep], 1) if method == "percentile" else broken[keep].mean()
    assert statistics.offset[0] == pytest.approx(expected, rel=1e-5)
    result = apply(broken, statistics, normalization)
    assert np.isfinite(result).all()
    assert (result[~keep] == 0).all()


def test_an_image_without_a_number_is_refused() -> None:
    image = np.stack([np.zeros((4, 4)), np.full((4, 4), np.nan)])
    with pytest.raises(ImageError, match="channel 1 of"):
        measure(ImageSource(image, "CYX"), Normalization())
    with pytest.raises(ImageError, match="no finite value"):
        measure(ImageSource(image[1], "YX"), Normalization("zscore"))


@pytest.mark.parametrize(("kind", "base"), [("u4", 4_000_000_000), ("i8", 2**50), ("f8", 1e12), ("u8", 2**52)])
def test_small_differences_of_large_numbers_survive(kind: str, base: float) -> None:
    image = (np.arange(100).reshape(10, 10) + int(base)).astype(kind)
    normalization = Normalization(low=0, high=100)
    source = ImageSource(image, "YX")
    result = apply(source.read(0), measure(source, normalization), normalization)
    np.testing.assert_allclose(result[0, 0].ravel(), np.arange(100) / 99, atol=1e-6)


def test_fixed_and_none() -> None:
    source = ImageSource(np.full((3, 4, 4), 10, np.uint8), "CYX")
    fixed = Normalization("fixed", offset=(1, 2, 3), scale=(2,))
    assert apply(source.read(0), measure(source, fixed), fixed)[:, 0, 0, 0].tolist() == [4.5, 4.0, 3.5]
    none = Normalization("none")
    assert apply(source.read(0), measure(source, none), none).max() == 10
    with pytest.raises(ImageError, match="normalizes 2 channels"):
        measure(source, Normalization("fixed", offset=(1, 2)))


def test_clip_and_channel_count() -> None:
    source = ImageSource(np.arange(100.0).reshape(10, 10), "YX")
    clipped = Normalization(low=10, high=90, clip=(0.0, 1.0))
    statistics = measure(source, clipped)
    result = apply(source.read(0), statistics, clipped)
    assert (result.min(), result.max()) == (0, 1)
    with pytest.raises(ImageError, match="2 channels"):
        apply(np.zeros((2, 4, 4)), statistics, clipped)


def test_the_values_are_left_alone() -> None:
    block = np.array([[[np.nan, 1.0]]], np.float32)
    apply(block, measure(ImageSource(block, "CYX"), Normalization()), Normalization())
    assert np.isnan(block[0, 0, 0])


@pytest.mark.parametrize("shape", [(600, 700), (3, 2, 400, 300)])
def test_a_large_image_is_sampled_the_same_way_each_time(shape: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    image = np.random.default_rng(0).normal(100, 5, shape)
    source = ImageSource(image, "YX" if len(shape) == 2 else "TZYX")
    exact = measure(source, Normalization("zscore"))
    assert exact.sample == f"all {image.size} values"
    monkeypatch.setattr(sampling, "EXACT_VALUES", 1000)
    monkeypatch.setattr(sampling, "SAMPLE_VALUES", 3 * 256 * 256)
    sampled = measure(source, Normalization("zscore"))
    assert sampled == measure(source, Normalization("zscore"))
    assert "evenly spread blocks" in sampled.sample
    assert sampled.offset == pytest.approx(exact.offset, abs=0.2)


def test_exact_blocks_cover_everything_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "_READ_VALUES", 50)
    source = ImageSource(np.zeros((2, 3, 7, 11), np.uint8), "TZYX")
    seen: npt.NDArray[np.int64] = np.zeros(source.shape, int)
    for t, box in sampling.blocks_to_measure(source)[0]:
        seen[(t, *box)] += 1
    assert (seen == 1).all()


def test_measuring_can_be_stopped_between_blocks() -> None:
    class Stop(Exception):
        pass

    def stop() -> None:
        raise Stop

    with pytest.raises(Stop):
        measure(ImageSource(np.zeros((4, 4)), "YX"), Normalization(), between=stop)


def test_json_round_trip() -> None:
    for normalization in (Normalization(), Normalization("fixed", offset=(1.0, 2.0), scale=(3.0,), clip=(0.0, 1.0))):
        assert Normalization.from_dict(normalization.to_dict()) == normalization


@pytest.mark.parametrize(
    "values",
    [
        {"method": "magic"},
        {"low": 50, "high": 10},
        {"low": "a"},
        {"scale": [0]},
        {"offset": []},
        {"offset": [float("nan")]},
        {"clip": [1, 0]},
        {"clip": [1, 2, 3]},
        {"per_channel": 1},
        {"surprise": 1},
        {"offset": 3},
    ],
)
def test_hostile_json_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(CheckpointError, match="normalization"):
        Normalization.from_dict(values)
