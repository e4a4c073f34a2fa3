import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage.segmentation import watershed

from napari_unet.learning import dividing
from napari_unet.learning.cuts import two_sides
from napari_unet.learning.dividing import divided_by_depth, divided_from_line


def ball(shape, center, radius, scale=(1, 1, 1)):
    grid = np.indices(shape).reshape(3, -1).T
    return (np.linalg.norm((grid - center) * scale, axis=1) < radius).reshape(shape)


def dumbbell():
    """Two balls that touch."""
    return ball((20, 40, 80), (10, 20, 22), 19, (2, 1, 1)) | ball((20, 40, 80), (10, 20, 58), 19, (2, 1, 1))


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_from_a_line_it_is_a_watershed_inside_the_object(seed):
    rng = np.random.default_rng(seed)
    body = ndimage.zoom(rng.random((1, 6, 6)), (1, 6, 6), order=1) < rng.uniform(0.4, 0.9)
    path = np.concatenate((np.zeros((3, 1)), rng.uniform(-3, 38, (3, 2))), axis=1)
    markers = two_sides(body, (0, 0, 0), path, (1, 0, 0))
    parts = divided_from_line(body, markers)
    expected = watershed(np.zeros(body.shape, np.uint8), markers, mask=body)
    assert np.array_equal(parts > 0, expected > 0)
    assert np.count_nonzero(parts != expected) <= 0.02 * body.sum(), "but where both sides are equally far"
    for side in (1, 2):
        pieces, count = ndimage.label(parts == side)
        assert all((markers[pieces == piece] == side).any() for piece in range(1, count + 1)), "reached from its marks"


@pytest.mark.parametrize("whole", [True, False])
def test_large_objects_are_divided_where_small_ones_are(monkeypatch, whole):
    body, scale = dumbbell(), (2.0, 1.0, 1.0)
    markers = np.zeros(body.shape, np.int32)
    markers[10, 20, 20], markers[10, 20, 60] = 1, 2
    line = two_sides(body, (0, 0, 0), [(10, 0, 40), (10, 40 if whole else 12, 40)], (1, 0, 0), scale)
    fine = divided_by_depth(body, markers, scale), divided_from_line(body, line)
    monkeypatch.setattr(dividing, "LARGE", 2_000)
    coarse = divided_by_depth(body, markers, scale), divided_from_line(body, line)
    for one, other in zip(fine, coarse, strict=True):
        assert np.array_equal(one > 0, body)
        assert (other[body] > 0).mean() > 0.999
        assert (one != other).sum() < 0.04 * body.sum()
    assert (coarse[0][10, 20, 20], coarse[0][10, 20, 60]) == (1, 2)
    assert abs(int((coarse[0] == 1).sum()) - int((coarse[0] == 2).sum())) < 0.05 * body.sum()


def test_neighbours_are_told_apart_in_a_large_object(monkeypatch):
    monkeypatch.setattr(dividing, "LARGE", 500)
    body = dumbbell()
    markers = np.zeros(body.shape, np.int32)
    markers[10, 20, 20], markers[10, 20, 21] = 1, 2
    parts = divided_by_depth(body, markers)
    assert parts[10, 20, 20] == 1
    assert parts[10, 20, 21] == 2
