"""Mirrored versions and three directions: what they average, and that tiles do not show."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pytest

from napari_unet.image.boxes import as_box
from napari_unet.image.source import ImageSource
from napari_unet.inference.options import PredictOptions
from napari_unet.inference.passes import mirror_axes
from napari_unet.inference.predictor import Predictor
from napari_unet.inference.routing import DIRECTIONS, NO_DIRECTIONS
from napari_unet.model.checkpoint import Checkpoint


def noise(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).normal(100, 30, shape).astype(np.float32)


def predictor(checkpoint: Checkpoint, tile: int | None = None, **options: Any) -> Predictor:
    return Predictor(checkpoint, "cpu", "float32", tile=tile, threads=1, options=PredictOptions(**options))


def test_versions_are_mirrored_in_z_where_planes_lie_about_as_close_as_pixels() -> None:
    assert mirror_axes(2, (1.0, 1.0, 1.0)) == ((), (-1,), (-2,), (-2, -1))
    assert len(mirror_axes(3, (1.0, 0.6, 0.6))) == 8
    assert len(mirror_axes(3, (3.0, 0.6, 0.6))) == len(mirror_axes(3, None)) == 4


@pytest.mark.parametrize("ndim", [2, 3])
def test_flips_average_the_scores_of_mirrored_images(make_checkpoint, ndim) -> None:
    checkpoint = make_checkpoint(ndim=ndim)
    image = noise(24, 26) if ndim == 2 else noise(8, 12, 14)
    axes = "ZYX"[-ndim:]
    source = ImageSource.from_array(image, axes, scale=(1.0,) * ndim)
    one = predictor(checkpoint)
    statistics = one.measure(source)
    expected = []
    for count in range(ndim + 1):
        for which in combinations(range(ndim), count):
            turned = np.flip(image, which).copy()
            scores = one.predict(turned, axes, statistics=statistics)
            expected.append(np.flip(scores, [axis + 1 for axis in which]))
    flipped = predictor(checkpoint, flips=True)
    np.testing.assert_allclose(flipped.predict(source, statistics=statistics), np.mean(expected, axis=0), atol=1e-5)
    assert f"The scores are the mean over {2**ndim} mirrored versions." in flipped.notes


@pytest.mark.parametrize("tile", [16, 30])
def test_flips_are_the_same_in_tiles(make_checkpoint, tile) -> None:
    checkpoint = make_checkpoint()
    image = noise(2, 61, 75)
    whole = predictor(checkpoint, 90, flips=True).predict(image, "ZYX")
    tiled = predictor(checkpoint, tile, flips=True).predict(image, "ZYX")
    assert np.abs(tiled - whole).max() <= 1e-4


def test_three_directions_are_the_mean_over_the_planes_of_each(make_checkpoint) -> None:
    checkpoint = make_checkpoint()
    volume = noise(10, 14, 12)
    one = predictor(checkpoint, join_z=False)
    statistics = one.measure(ImageSource.from_array(volume, "ZYX"))
    expected = []
    for axis in range(3):
        scores = one.predict(np.moveaxis(volume, axis, 0), "ZYX", statistics=statistics)
        expected.append(np.moveaxis(scores, 1, axis + 1))
    both = predictor(checkpoint, three_directions=True)
    found = both.predict(volume, "ZYX", statistics=statistics)
    np.testing.assert_allclose(found, np.mean(expected, axis=0), atol=1e-5)
    assert DIRECTIONS in both.notes


def test_three_directions_are_the_same_in_tiles(make_checkpoint) -> None:
    checkpoint = make_checkpoint()
    volume = noise(22, 30, 27)
    whole = predictor(checkpoint, 64, three_directions=True).predict(volume, "ZYX")
    part = predictor(checkpoint, 8, three_directions=True)
    assert len(part.plan(ImageSource.from_array(volume, "ZYX")).tiles) == 3 * 4 * 4
    assert np.abs(part.predict(volume, "ZYX") - whole).max() <= 1e-4


def test_three_directions_of_tiles_that_are_blended(make_checkpoint) -> None:
    checkpoint = make_checkpoint(norm="instance")
    volume = noise(40, 44, 48)
    scores = predictor(checkpoint, 16, three_directions=True).predict(volume, "ZYX")
    assert np.isfinite(scores).all()
    np.testing.assert_allclose(scores.sum(axis=0), 1, atol=1e-4)


def test_objects_of_three_directions_are_found_in_3d(make_checkpoint) -> None:
    checkpoint = make_checkpoint()
    volume = noise(2, 8, 14, 12)
    source = ImageSource.from_array(volume, "TZYX")
    one = predictor(checkpoint, three_directions=True)
    plan = one.plan(source)
    assert not plan.flat
    assert {tile.z for tile in plan.tiles} == {None}
    assert one.segment(source).shape == volume.shape


def test_a_plane_has_one_direction(make_checkpoint) -> None:
    one = predictor(make_checkpoint(), three_directions=True)
    image = noise(20, 20)
    np.testing.assert_array_equal(one.predict(image, "YX"), predictor(make_checkpoint()).predict(image, "YX"))
    assert one.notes == (NO_DIRECTIONS,)


@pytest.mark.parametrize(
    "options", [{"flips": True}, {"three_directions": True}, {"three_directions": True, "flips": True}]
)
@pytest.mark.parametrize("size", [None, (0.6, 0.6)])
def test_what_is_in_view_first_changes_nothing(make_checkpoint, options, size) -> None:
    checkpoint = make_checkpoint()
    checkpoint = replace(checkpoint, header=replace(checkpoint.header, voxel_size=size))
    source = ImageSource.from_array(noise(9, 33, 38), "ZYX", scale=(1.0, 1.0, 1.0))
    expected = predictor(checkpoint, 64, **options).predict(source)
    found = np.full(expected.shape, np.nan, np.float32)
    view = (0, as_box((5, 20, 21), (6, 33, 38)))
    for part in predictor(checkpoint, 8, **options).stream(source, view=view, steer=lambda: view):
        found[(slice(None), *part.tile.inner)] = part.scores
    assert np.abs(found - expected).max() <= 1e-4
