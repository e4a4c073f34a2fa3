"""What a tool passed over is what napari's tool of that kind changes on an empty layer."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from napari.layers import Labels

from napari_unet.viewer import sweep
from napari_unet.viewer.sweep import Sweep

SHAPE = (30, 40)
place = st.tuples(st.floats(-5, 34), st.floats(-5, 44))


def mask_of(swept: Sweep | None, shape: tuple[int, ...]) -> np.ndarray:
    whole = np.zeros(shape, bool)
    if swept is not None:
        whole[swept.box] = swept.mask
    return whole


@settings(max_examples=60, deadline=None)
@given(start=place, stop=place, size=st.integers(1, 15), scale=st.sampled_from([(1, 1), (2, 1), (0.3, 0.9)]))
def test_brush(start: tuple[float, ...], stop: tuple[float, ...], size: int, scale: tuple[float, ...]) -> None:
    layer = Labels(np.zeros(SHAPE, np.uint16), scale=scale)
    layer.brush_size = size
    points = sweep.interpolate(start, stop, size)
    for point in points:
        layer.paint(point, 1)
    assert np.array_equal(mask_of(sweep.brush(points, size, scale, (0, 1), SHAPE), SHAPE), layer.data == 1)


@settings(max_examples=20, deadline=None)
@given(
    point=st.tuples(st.integers(0, 1), st.floats(-2, 9), st.floats(-2, 20), st.floats(-2, 20)), size=st.integers(1, 9)
)
def test_ball_in_space_only(point: tuple[float, ...], size: int) -> None:
    shape, scale = (2, 8, 20, 20), (1, 3, 1, 1)
    layer = Labels(np.zeros(shape, np.uint16), scale=scale)
    layer.brush_size, layer.n_edit_dimensions = size, 3
    layer.paint(point, 1)
    assert np.array_equal(mask_of(sweep.brush([point], size, scale, (1, 2, 3), shape), shape), layer.data == 1)


@settings(max_examples=60, deadline=None)
@given(corners=st.lists(st.tuples(st.integers(-4, 33), st.integers(-4, 43)), min_size=3, max_size=7))
def test_polygon(corners: list[tuple[int, int]]) -> None:
    layer = Labels(np.zeros(SHAPE, np.uint16))
    layer.paint_polygon(corners, 1)
    assert np.array_equal(mask_of(sweep.polygon(corners, (0, 1), SHAPE), SHAPE), layer.data == 1)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 1000), y=st.integers(0, 29), x=st.integers(0, 39), contiguous=st.booleans())
def test_fill(seed: int, y: int, x: int, contiguous: bool) -> None:
    data = np.random.default_rng(seed).integers(0, 3, SHAPE).astype(np.uint16)
    layer = Labels(data.copy())
    layer.contiguous = contiguous
    swept = sweep.filled(data, (y, x), (0, 1), contiguous)
    layer.fill((y, x), 9)
    assert np.array_equal(mask_of(swept, SHAPE), layer.data == 9)


def test_fill_of_a_region_larger_than_the_first_window() -> None:
    data = np.zeros((500, 600), np.uint16)
    data[20:480, 30:570] = 4
    swept = sweep.filled(data, (250, 300), (0, 1), True)
    assert np.array_equal(mask_of(swept, data.shape), data == 4)


def test_outside_is_nothing() -> None:
    assert sweep.brush([(-100, 5)], 5, (1, 1), (0, 1), SHAPE) is None
    assert sweep.filled(np.zeros(SHAPE, np.uint8), (-3, 4), (0, 1), True) is None
    assert sweep.polygon([(1, 1), (2, 2)], (0, 1), SHAPE) is None
    assert sweep.union([None, None]) is None
