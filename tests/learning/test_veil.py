"""A veil hides the prediction in a box: predictions go on being written, and none is seen."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet.image.boxes import as_box
from napari_unet.learning.truth import Truth

BOX = as_box((0, 2, 3), (1, 8, 9))


def made(seed: int = 0) -> Truth:
    rng = np.random.default_rng(seed)
    return Truth(rng.integers(1, 4, (1, 1, 12, 12)).astype(np.uint16), instances=False)


def test_the_prediction_disappears_and_comes_back() -> None:
    truth = made()
    before = truth.labels.copy()
    places = truth.set_veil((0, BOX))
    assert places == ((0, BOX),)
    assert not truth.labels[0][BOX].any()
    outside = np.ones(truth.labels.shape, bool)
    outside[0][BOX] = False
    assert np.array_equal(truth.labels[outside], before[outside])
    truth.set_veil(None)
    assert np.array_equal(truth.labels, before)


def test_what_the_user_says_under_the_veil_is_seen_and_stays() -> None:
    truth = made()
    truth.set_veil((0, BOX))
    small = as_box((0, 3, 4), (1, 5, 6))
    edit = truth.paint(0, small, np.ones((1, 2, 2), bool), 2)
    assert edit is not None and (truth.labels[0][small] == 2).all()
    edit.undo(truth)
    assert not truth.labels[0][BOX].any()
    edit.redo(truth)
    truth.set_veil(None)
    assert (truth.labels[0][small] == 2).all()
    assert np.array_equal(truth.labels[~truth.known], truth.prediction[~truth.known])


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(*[st.integers(0, 11)] * 4, st.integers(0, 3), st.sampled_from("ppwvl")), max_size=12))
def test_labels_are_the_users_or_the_prediction_and_nothing_under_the_veil(steps: list[tuple[object, ...]]) -> None:
    truth = made()
    for y, x, height, width, value, what in steps:
        box = as_box((0, y, x), (1, min(12, y + 1 + height), min(12, x + 1 + width)))
        shape = tuple(part.stop - part.start for part in box)
        if what == "p":
            truth.write_prediction(0, box, np.full(shape, value))
        elif what == "w":
            truth.paint(0, box, np.ones(shape, bool), value)
        else:
            truth.set_veil((0, box) if what == "v" else None)
        shown = truth.prediction.copy()
        if truth.veil is not None:
            shown[0][truth.veil[1]] = 0
        assert np.array_equal(truth.labels[~truth.known], shown[~truth.known])
        assert np.array_equal(truth.labels, truth.shadow)
