from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_unet.errors import UserError
from napari_unet.learning.cuts import crossed, two_sides
from napari_unet.learning.truth import Truth


def truth_of(labels, **options):
    return Truth(labels.astype(np.uint32).reshape((1,) * (4 - labels.ndim) + labels.shape), instances=True, **options)


def square():
    labels = np.zeros((1, 40, 60), int)
    labels[0, 5:35, 10:50] = 1
    return labels


def test_a_straight_line_cuts_where_it_is_drawn():
    truth = truth_of(square())
    edit = truth.split_along(0, [(0, 2, 24.5), (0, 38, 24.5)])
    assert (truth.labels[0, 0, 5:35, 10:25] == 2).all(), "the smaller part has the new id"
    assert (truth.labels[0, 0, 5:35, 25:50] == 1).all()
    assert truth.known[0, 0, 5:35, 10:50].all()
    edit.undo(truth)
    assert np.array_equal(truth.labels[0], square())
    assert truth.n_known == 0


def test_a_line_that_ends_inside_goes_on():
    truth = truth_of(square())
    truth.split_along(0, [(0, 2, 29.5), (0, 20, 29.5)])
    left, right = truth.labels[0, 0, 5:35, 10:30], truth.labels[0, 0, 5:35, 30:50]
    assert (left[:14] != right[0, 0]).all()
    assert abs(int((truth.labels == 1).sum()) - 600) < 120


def test_a_bent_line():
    truth = truth_of(square())
    truth.split_along(0, [(0, 20.4, 5), (0, 20.4, 25.4), (0, 2, 25.4)])
    corner = np.zeros((40, 60), bool)
    corner[5:21, 10:26] = True
    assert np.array_equal(truth.labels[0, 0] == 2, corner)


def test_the_other_arm_of_a_bent_object_stays_whole():
    labels = np.zeros((1, 40, 60), int)
    labels[0, 5:35, 5:15] = labels[0, 5:35, 40:50] = labels[0, 25:35, 5:50] = 7
    truth = truth_of(labels)
    truth.split_along(0, [(0, 15.5, 2), (0, 15.5, 20)])
    assert (truth.labels[0, 0, 5:16, 5:15] == 8).all()
    assert (truth.labels[0, 0, 5:35, 40:50] == 7).all(), "the line points at this arm, but was not drawn over it"
    assert set(np.unique(truth.labels)) == {0, 7, 8}


def test_the_object_under_most_of_the_line_is_cut():
    labels = square()
    labels[0, 36:40] = 9
    truth = truth_of(labels)
    truth.split_along(0, [(0, 2, 30.5), (0, 39, 30.5)])
    assert (truth.labels == 9).sum() == 240
    assert set(np.unique(truth.labels)) == {0, 1, 9, 10}


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_cut_goes_through_the_depth_of_a_volume(axis):
    volume = np.zeros((12, 20, 20), int)
    volume[2:10, 3:17, 3:17] = 4
    direction = tuple(float(a == axis) for a in range(3))
    across, along = (a for a in range(3) if a != axis)
    start, stop = [6.0, 9.0, 9.0], [6.0, 9.0, 9.0]
    start[across] = stop[across] = 7.5
    start[along], stop[along] = 0.0, volume.shape[along] - 1.0
    truth = truth_of(volume, rim_z=1)
    truth.split_along(0, (start, stop), direction, (3.0, 0.5, 0.5))
    parts = np.moveaxis(truth.labels[0], across, 0)
    assert len(np.unique(parts[:8])) == len(np.unique(parts[8:])) == 2
    assert set(np.unique(truth.labels)) == {0, 4, 5}


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_any_plane_divides_any_ball_into_two_connected_parts(seed):
    """Whatever the angle and the voxels, each part lies on its own side of the drawn line."""
    rng = np.random.default_rng(seed)
    scale = np.array((rng.choice([1.0, 2.0, 3.0]), 1.0, 1.0))
    grid = np.indices((16, 32, 32)).reshape(3, -1).T
    centre = np.array((7.5, 15.5, 15.5))
    inside = np.linalg.norm((grid - centre) * scale, axis=1) < 7.2 * scale.min()
    labels = inside.reshape(16, 32, 32).astype(int)
    direction = rng.normal(size=3)
    along = rng.normal(size=3)
    along -= direction * (along @ direction) / (direction @ direction)
    if np.linalg.norm(along * scale) < 0.3:
        return
    along /= np.linalg.norm(along * scale)
    truth = truth_of(labels)
    truth.split_along(0, (centre - 40 * along, centre + 40 * along), direction, tuple(scale), (7, 15, 15))
    normal = np.cross(direction * scale, along * scale)
    side = (((grid - centre) * scale) @ normal).reshape(labels.shape)
    parts = truth.labels[0]
    assert set(np.unique(parts)) == {0, 1, 2}
    clear = np.abs(side) > 1e-6 * np.abs(side).max()
    signs = [np.unique(np.sign(side[(parts == number) & clear])) for number in (1, 2)]
    assert [len(sign) for sign in signs] == [1, 1]
    assert signs[0][0] == -signs[1][0]
    assert all(ndimage.label(parts == number, np.ones((3, 3, 3)))[1] == 1 for number in (1, 2))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(-5, 45), st.integers(-5, 65)), min_size=2, max_size=6), st.booleans())
def test_nothing_leaks_across_any_drawn_path(corners, wide):
    """A step from a voxel to its neighbour crosses the path only between the marks of its two sides."""
    labels = square()
    path = [(0.0, y + 0.3, x + 0.2) for y, x in corners]
    if np.ptp(np.asarray(path), axis=0).max() < 0.5:
        return
    markers = two_sides(labels > 0, (0, 0, 0), path, (1, 0, 0), (1.0, 2.0 if wide else 1.0, 1.0))
    assert not markers[labels == 0].any()
    segments = list(pairwise(path))
    for axis in (1, 2):
        for voxel in np.argwhere(labels)[::7]:
            other = voxel.copy()
            other[axis] += 1
            if labels[tuple(other)] and any(_meet(voxel[1:], other[1:], a[1:], b[1:]) for a, b in segments):
                assert markers[tuple(voxel)], (voxel, axis)
                assert markers[tuple(other)], (other, axis)


def _meet(a, b, c, d):
    def turn(p, q, r):
        return np.sign((q[0] - p[0]) * (r[1] - p[1]) - (q[1] - p[1]) * (r[0] - p[0]))

    return turn(a, b, c) * turn(a, b, d) < 0 and turn(c, d, a) * turn(c, d, b) < 0


def test_crossed_counts_what_lies_under_the_line():
    labels = square()[:, :, :]
    assert crossed(labels, [(0, 0, 0), (0, 0, 59)]) is None
    assert crossed(labels, [(0, 20, -50), (0, 20, 100)])[:2] == (0, 20)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ([(0, 20, 20)], "too short"),
        ([(0, 20, 20), (0, 20, 20.2)], "too short"),
        ([(0, 1, 0), (0, 1, 59)], "no object"),
    ],
)
def test_lines_that_split_nothing_say_why(path, reason):
    truth = truth_of(square())
    with pytest.raises(UserError, match=reason):
        truth.split_along(0, path)
    assert np.array_equal(truth.labels[0], square())
    assert truth.next_id() == 2


def test_a_line_along_the_edge_does_not_divide():
    truth = truth_of(square())
    with pytest.raises(UserError, match="does not divide"):
        truth.split_along(0, [(0, 4.9, 0), (0, 4.9, 59)], point=(0, 20, 20))
    assert np.array_equal(truth.labels[0], square())


def test_classes_are_not_split():
    truth = Truth(square()[None].astype(np.uint8), instances=False)
    for split in (
        lambda: truth.split(0, (0, 20, 20), (0, 20, 40)),
        lambda: truth.split_along(0, [(0, 2, 30), (0, 38, 30)]),
    ):
        with pytest.raises(UserError, match="classes"):
            split()
    assert truth.labels.max() == 1
