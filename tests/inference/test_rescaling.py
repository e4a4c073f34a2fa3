"""Rescaling to the model's voxel size: when, what the network sees, and that scores come back in place."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet.image.boxes import as_box, extent, whole
from napari_unet.image.source import ImageSource
from napari_unet.inference.options import PredictOptions
from napari_unet.inference.predictor import Predictor
from napari_unet.inference.rescaling import UNKNOWN_SPACING, Rescaling, choose_rescaling, trained_voxel_size
from napari_unet.model.checkpoint import Checkpoint


def smooth(*shape: int) -> Any:
    waves = [np.sin(np.arange(n) / 7 + axis) for axis, n in enumerate(shape)]
    result = np.ones(())
    for wave in waves:
        result = np.multiply.outer(result, 2 + wave)
    return (100 * result).astype(np.float32)


def source(*shape: int, scale: tuple[float, ...] | None, axes: str = "", units: str = "µm") -> ImageSource:
    return ImageSource.from_array(smooth(*shape), axes or "TZYX"[-len(shape) :], scale=scale, units=units)


def sized(checkpoint: Checkpoint, voxel_size: tuple[float, ...]) -> Checkpoint:
    return replace(checkpoint, header=replace(checkpoint.header, voxel_size=voxel_size))


def predictor(checkpoint: Checkpoint, tile: int | None = None, **options: Any) -> Predictor:
    return Predictor(checkpoint, "cpu", "float32", tile=tile, threads=1, options=PredictOptions(**options))


lengths = st.integers(1, 60)


@given(st.tuples(lengths, lengths), st.lists(st.integers(0, 60), max_size=4))
def test_parts_of_the_network_grid_partition_the_image(sizes, cuts) -> None:
    n, m = sizes
    rescaling = Rescaling((1, 1, n), (1, 1, m))
    edges = sorted({0, m, *(cut for cut in cuts if cut < m)})
    covered = []
    for start, stop in pairwise(edges):
        span = rescaling.decided(as_box((0, 0, start), (1, 1, stop)))[2]
        centres = (np.arange(n) + 0.5) * m / n
        assert list(range(span.start, span.stop)) == np.flatnonzero((centres >= start) & (centres < stop)).tolist()
        covered += list(range(span.start, span.stop))
    assert covered == list(range(n))


@given(st.tuples(lengths, lengths), st.data())
def test_scores_interpolated_part_by_part_are_those_of_the_whole(sizes, data) -> None:
    n, m = sizes
    rescaling = Rescaling((1, 2, n), (1, 2, m))
    scores = np.random.default_rng(n + m).random((1, 1, 2, m)).astype(np.float32)
    all_at_once = rescaling.back(scores, whole((1, 2, m)), whole((1, 2, n)))
    assert all_at_once.shape == (1, 1, 2, n)
    start = data.draw(st.integers(0, m - 1))
    stop = data.draw(st.integers(start + 1, m))
    box = rescaling.decided(as_box((0, 0, start), (1, 2, stop)))
    known = as_box((0, 0, max(0, start - 1)), (1, 2, min(m, stop + 1)))
    part = rescaling.back(scores[..., known[2]], known, box)
    assert part.shape[1:] == extent(box)
    np.testing.assert_array_equal(part, all_at_once[(slice(None), *box)])


@settings(deadline=None)
@given(st.integers(2, 40), st.integers(2, 60), st.data())
def test_the_image_is_read_alike_as_a_whole_and_in_parts(n, m, data) -> None:
    image = ImageSource.from_array(np.random.default_rng(n).random((2, n, 9)).astype(np.float32), "CYX")
    seen = Rescaling((1, n, 9), (1, m, 5)).source(image)
    everything = seen.read(0)
    assert everything.shape == (2, 1, m, 5)
    start = data.draw(st.integers(0, m - 1))
    box = as_box((0, start, 1), (1, data.draw(st.integers(start + 1, m)), 4))
    np.testing.assert_allclose(seen.read(0, box), everything[(slice(None), *box)], atol=1e-6)


def test_a_smooth_image_survives_there_and_back() -> None:
    image = source(64, 80, scale=(1.0, 1.0))
    for size in ((1, 128, 160), (1, 48, 60)):
        rescaling = Rescaling((1, 64, 80), size)
        seen = rescaling.source(image).read(0)
        back = rescaling.back(seen, whole(size), whole((1, 64, 80)))
        inner = np.s_[:, :, 2:-2, 2:-2]
        np.testing.assert_allclose(back[inner], image.read(0)[inner], rtol=0.02)


def test_shrinking_averages_instead_of_picking() -> None:
    stripes = np.tile(np.array([0.0, 1.0], np.float32), (8, 32))
    seen = Rescaling((1, 8, 64), (1, 8, 16)).source(ImageSource.from_array(stripes, "YX")).read(0)
    np.testing.assert_allclose(seen[..., 1:-1], 0.5, atol=1e-6)


@pytest.mark.parametrize(
    ("have", "model", "expected"),
    [
        ((1.0, 0.5, 0.5), (0.5, 0.5), None),
        ((1.0, 0.5, 0.5), (0.62, 0.5), None),
        ((1.0, 0.5, 0.5), (0.64, 0.64), (4, 31, 31)),
        ((1.0, 0.5, 0.5), (0.25, 0.25), (4, 80, 80)),
        ((1.0, 0.5, 0.5), (0.5, 0.5, 0.5), (8, 40, 40)),
        (None, (0.25, 0.25), None),
        ((1.0, 0.5, 0.5), None, None),
    ],
)
def test_images_are_rescaled_where_both_sizes_are_known_and_differ(have, model, expected) -> None:
    found, note = choose_rescaling(source(4, 40, 40, scale=have), model, wanted=True)
    assert (None if found is None else found.network) == expected
    assert bool(note) == (expected is not None)


def test_what_is_said_of_rescaling() -> None:
    image = source(4, 40, 40, scale=(1.0, 0.5, 0.5))
    _, note = choose_rescaling(image, (0.25, 0.25), wanted=True)
    assert "rescaled from voxels of 0.5 × 0.5 µm to 0.25 × 0.25 µm" in note
    found, note = choose_rescaling(image, (0.25, 0.25), wanted=False)
    assert found is None
    assert note == "The image's voxels are 0.5 × 0.5 µm, the model's 0.25 × 0.25 µm; rescaling is switched off."
    found, note = choose_rescaling(image, (500.0, 500.0), wanted=True)
    assert found is None
    assert "Check the image's voxel size." in note
    found, note = choose_rescaling(source(4, 40, 40, scale=None), None, wanted=True, isotropic=True)
    assert (found, note) == (None, UNKNOWN_SPACING)
    found, note = choose_rescaling(image, None, wanted=True, isotropic=True)
    assert found is not None
    assert found.network == (8, 40, 40)


@pytest.mark.parametrize("size", [(0.5, 0.5), (1.7, 1.7)])
@pytest.mark.parametrize("tile", [10, 24])
def test_tiles_do_not_show_in_a_rescaled_prediction(make_checkpoint, size, tile) -> None:
    checkpoint = sized(make_checkpoint(), size)
    image = source(2, 51, 65, scale=(3.0, 1.0, 1.0))
    one = predictor(checkpoint, 200)
    expected = one.predict(image)
    assert any("rescaled" in note for note in one.notes)
    part = predictor(checkpoint, tile)
    assert len(part.plan(image).tiles) > 2
    assert np.abs(part.predict(image) - expected).max() <= 1e-4


def test_a_rescaled_prediction_is_that_of_the_rescaled_image(make_checkpoint) -> None:
    checkpoint = sized(make_checkpoint(), (0.5, 0.5))
    image = source(40, 48, scale=(1.0, 1.0))
    rescaling = Rescaling((1, 40, 48), (1, 80, 96))
    one = predictor(checkpoint)
    statistics = one.measure(image)
    seen = rescaling.source(image)
    expected = rescaling.back(one.predict(seen, statistics=statistics)[0], whole((1, 80, 96)), whole((1, 40, 48)))
    np.testing.assert_allclose(one.predict(image, statistics=statistics), expected[:, 0], atol=1e-5)
    off = predictor(checkpoint, rescale=False)
    np.testing.assert_array_equal(
        off.predict(image, statistics=statistics), predictor(make_checkpoint()).predict(image, statistics=statistics)
    )


@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_only_what_is_in_view_of_a_rescaled_image(make_checkpoint, norm) -> None:
    one = predictor(sized(make_checkpoint(norm=norm), (0.3, 0.3)), 16)
    image = source(2, 60, 70, scale=(1.0, 1.0, 1.0))
    view = (0, as_box((1, 20, 30), (2, 31, 47)))
    whole_image = predictor(sized(make_checkpoint(norm=norm), (0.3, 0.3)), 16).predict(image)
    seen = np.zeros(image.shape[1:], bool)
    for part in one.stream(image, view=view, only_view=True):
        seen[part.tile.inner] = True
        if norm == "batch":
            here = (slice(None), *part.tile.inner)
            np.testing.assert_allclose(part.scores, whole_image[here], atol=1e-4)
    assert seen[view[1]].all()
    assert not seen[0].any()


def test_three_directions_of_a_rescaled_volume(make_checkpoint) -> None:
    checkpoint = sized(make_checkpoint(), (0.5, 0.5))
    image = source(10, 24, 26, scale=(1.0, 0.5, 0.5))
    expected = predictor(checkpoint, 64, three_directions=True).predict(image)
    assert expected.shape == (3, 10, 24, 26)
    assert np.abs(predictor(checkpoint, 8, three_directions=True).predict(image) - expected).max() <= 1e-4


def test_the_size_of_a_model_is_that_of_its_images() -> None:
    def sized_source(*size: float) -> ImageSource:
        return source(4, 8, 8, scale=size)

    unknown = source(4, 8, 8, scale=None)
    assert trained_voxel_size([sized_source(2, 0.5, 0.5), unknown], 2, None) == (0.5, 0.5)
    assert trained_voxel_size([sized_source(2, 0.5, 0.5)], 3, None) == (2.0, 0.5, 0.5)
    assert trained_voxel_size([sized_source(2, 0.5, 0.5), sized_source(2, 0.6, 0.6)], 2, None) == (0.547723, 0.547723)
    assert trained_voxel_size([sized_source(2, 0.5, 0.5), sized_source(2, 0.7, 0.7)], 2, (0.5, 0.5)) is None
    assert trained_voxel_size([unknown], 2, (0.3, 0.3)) == (0.3, 0.3)
