"""The seam check: exact networks show none, others show theirs."""

from __future__ import annotations

import numpy as np
import pytest

from napari_unet.image.source import ImageSource
from napari_unet.inference.options import PredictOptions
from napari_unet.inference.predictor import Predictor
from napari_unet.inference.seams import CROP, SeamResult, check_seams, crop_box, differing_voxels


def image(*shape: int) -> ImageSource:
    values = np.random.default_rng(1).normal(100, 30, shape).astype(np.float32)
    return ImageSource.from_array(values, "ZYX"[-len(shape) :], scale=(1.0,) * len(shape))


@pytest.mark.parametrize("options", [{}, {"flips": True}, {"three_directions": True}])
@pytest.mark.parametrize("ndim", [2, 3])
def test_tiles_of_exact_networks_do_not_show(make_checkpoint, ndim, options) -> None:
    one = Predictor(make_checkpoint(ndim=ndim), "cpu", "float32", threads=1, options=PredictOptions(**options))
    seen = []
    result = check_seams(one, image(14, 40, 44), progress=lambda done, total: seen.append((done, total)))
    assert result is not None
    assert result.tiles >= 4
    assert result.difference <= 1e-4
    assert result.differing <= result.voxels // 1000
    assert result.fine
    assert seen[-1][0] == seen[-1][1]
    assert "in float32." in result.sentence


def test_the_difference_is_that_of_the_scores(make_checkpoint) -> None:
    one = Predictor(make_checkpoint(norm="instance"), "cpu", "float32", threads=1)
    source = image(90, 80)
    result = check_seams(one, source)
    assert result is not None
    difference = np.abs(one.with_tile(30).predict(source) - one.with_tile(500).predict(source)).max()
    assert result.difference == pytest.approx(difference, abs=1e-6)
    assert not result.exact and result.fine
    assert "blended" in result.sentence


def test_too_large_a_difference_is_told() -> None:
    assert SeamResult(5e-4, 3, 100, 9, True, "bfloat16").fine
    assert not SeamResult(5e-4, 3, 100, 9, True, "float32").fine
    assert "3 of 100 voxels (3.00 %)" in SeamResult(5e-4, 3, 100, 9, True, "float32").sentence


def test_the_crop_lies_around_the_view_and_inside_the_image() -> None:
    view = (slice(0, 1), slice(0, 10), slice(990, 1000))
    assert crop_box((1, 2000, 1000), CROP[2], view) == (slice(0, 1), slice(0, 512), slice(488, 1000))
    assert crop_box((1, 100, 1000), CROP[2], None) == (slice(0, 1), slice(0, 100), slice(244, 756))


def test_it_stops_when_asked(make_checkpoint) -> None:
    one = Predictor(make_checkpoint(), "cpu", "float32", threads=1)
    assert check_seams(one, image(60, 60), should_stop=lambda: True) is None


def test_numbers_do_not_count_as_a_difference() -> None:
    first = np.array([[1, 1, 2, 2, 0, 3]], np.uint32)
    assert differing_voxels(first, np.array([[5, 5, 1, 1, 0, 9]], np.uint32)) == 0
    assert differing_voxels(first, np.array([[5, 5, 5, 5, 0, 9]], np.uint32)) == 2
    assert differing_voxels(first, np.array([[5, 5, 1, 1, 9, 9]], np.uint32)) == 1
