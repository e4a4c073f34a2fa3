"""A target is certain exactly if no completion of the unknown could change it."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from napari_unet.learning.targets import object_targets, targets
from napari_unet.learning.truth import Truth
from napari_unet.model.header import ClassInfo, Output

MOST_UNKNOWN = 5
OUTPUTS = {
    kind: Output(kind, activation, channels, (ClassInfo("background", "#000000"), ClassInfo("a", "#e69f00")))
    for kind, activation, channels in (
        ("instances", "softmax", ("background", "interior", "boundary")),
        ("binary", "sigmoid", ("foreground",)),
    )
}


def completions(labels, known):
    """Yield the labels with every choice of values at the unknown voxels, a new object among them."""
    places = np.flatnonzero(~known.ravel())
    for values in itertools.product(range(int(labels.max()) + 2), repeat=places.size):
        full = labels.copy()
        full.ravel()[places] = values
        yield full


@st.composite
def small_truths(draw, shapes):
    """Labels of few objects, and a known mask with few holes (all other voxels known)."""
    shape = draw(st.sampled_from(shapes))
    labels = draw(arrays.arrays(np.int64, shape, elements=st.integers(0, 2)))
    if draw(st.booleans()):  # larger objects
        labels = np.repeat(labels, 3, axis=-1)
    holes = draw(st.lists(st.integers(0, labels.size - 1), max_size=MOST_UNKNOWN, unique=True))
    known = np.ones(labels.shape, bool)
    known.ravel()[holes] = False
    return labels, known


def check(labels, known, kind="instances"):
    target, certain = targets(labels, known, OUTPUTS[kind])
    everything = np.ones(labels.shape, bool)
    answers = np.stack([targets(full, everything, OUTPUTS[kind])[0] for full in completions(labels, known)])
    same = (answers == answers[0]).all(axis=0)
    assert not (certain & ~known).any()
    assert np.array_equal(answers[0][certain], target[certain])
    assert not (certain & ~same).any(), "an unknown voxel could change a target that is called certain"
    assert not (same & known & ~certain).any(), "a target that nothing can change is called uncertain"


@settings(max_examples=100, deadline=None)
@given(small_truths(((4, 4), (3, 7), (1, 9), (6, 6))), st.sampled_from(sorted(OUTPUTS)))
def test_every_completion_in_2d(truth, kind):
    check(*truth, kind)


@settings(max_examples=100, deadline=None)
@given(small_truths(((3, 3, 3), (4, 2, 5), (5, 1, 4), (1, 4, 4))))
def test_every_completion_in_3d(truth):
    check(*truth)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), volume=st.booleans())
def test_an_accepted_object_teaches_all_of_itself(seed, volume):
    """The rim that becomes known with an object is wide enough for every target inside it, in 2D and in 3D."""
    rng = np.random.default_rng(seed)
    cells = rng.integers(0, 4, (1, 3 if volume else 1, 4, 5))
    labels = np.kron(cells, np.ones((1, 3 if volume else 1, 5, 5), int)).astype(np.uint32)
    labels[rng.random(labels.shape) < 0.02] = 0
    truth = Truth(labels, instances=True, rim_z=1 if volume else 0)
    if not labels.any():
        return
    place = tuple(int(v) for v in np.argwhere(labels)[rng.integers(np.count_nonzero(labels))])
    body = labels[0] == labels[place]
    truth.accept_object(0, place[1:])
    planes = [slice(None)] if volume else range(labels.shape[1])
    for plane in planes:
        _, certain = object_targets(labels[0, plane], truth.known[0, plane])
        reached = truth.known[0, plane] & body[plane]
        assert certain[reached].all()


@pytest.mark.parametrize("plane", [0, 1, 2])
def test_a_2d_model_on_a_stack_knows_a_plane_without_its_neighbours(plane):
    labels = np.zeros((1, 3, 12, 12), np.uint32)
    labels[0, plane, 3:9, 3:9] = plane + 1
    truth = Truth(labels, instances=True)
    truth.accept_object(0, (plane, 5, 5))
    assert truth.known[0].any(axis=(1, 2)).tolist() == [p == plane for p in range(3)]
    _, certain = object_targets(labels[0, plane], truth.known[0, plane])
    assert certain[3:9, 3:9].all()
