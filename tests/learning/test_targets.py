import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet.learning.targets import BOUNDARY, INTERIOR, object_targets, targets
from napari_unet.model.header import ClassInfo, Output


def test_touching_objects_have_a_boundary_between_them():
    labels = np.zeros((9, 12), int)
    labels[1:8, 1:6], labels[1:8, 6:11] = 1, 2
    target, known = object_targets(labels, np.ones(labels.shape, bool))
    assert known.all()
    assert target[4].tolist() == [0, 2, 1, 1, 2, 2, 2, 2, 1, 1, 2, 0]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.booleans())
def test_what_is_certain_does_not_depend_on_the_unknown(seed, volume):
    rng = np.random.default_rng(seed)
    shape = (5, 10, 12) if volume else (14, 16)
    labels = np.kron(rng.integers(0, 3, [-(-n // 4) for n in shape]), np.ones([4] * len(shape), int))
    labels = labels[tuple(slice(0, n) for n in shape)]
    known = rng.random(shape) < rng.choice([0.6, 0.95])
    target, certain = object_targets(labels, known)
    assert not (certain & ~known).any()
    for _ in range(5):
        other = np.where(known, labels, rng.integers(0, 5, shape))
        truth, _ = object_targets(other, np.ones(shape, bool))
        assert np.array_equal(truth[certain], target[certain])


def test_an_accepted_object_with_its_rim_is_certain():
    labels = np.zeros((20, 20), int)
    labels[5:15, 5:15] = 3
    known = np.zeros(labels.shape, bool)
    known[3:17, 3:17] = True
    target, certain = object_targets(labels, known)
    assert certain[5:15, 5:15].all()
    assert (target[6:14, 6:14] == INTERIOR).all()
    assert (target[5, 5:15] == BOUNDARY).all()


def test_kinds():
    classes = (ClassInfo("background", "#000000"), ClassInfo("cell", "#e69f00"))
    labels, known = np.array([[0, 1, 5]]), np.array([[True, True, False]])
    binary = Output("binary", "sigmoid", ("foreground",), classes)
    assert targets(labels, known, binary)[0].tolist() == [[0, 1, 1]]
    semantic = Output("classes", "softmax", ("background", "cell"), classes)
    assert targets(labels, known, semantic)[0].tolist() == [[0, 1, 5]]
