"""What was left as it was beside a change teaches; what nobody looked at, or what validates, does not."""

from __future__ import annotations

import numpy as np
import pytest

from napari_unet.learning.uncorrected import LEFT_WEIGHT, NEAR, uncorrected
from napari_unet.model.header import ClassInfo, Output

CLASSES = tuple(ClassInfo(name, "#000000") for name in ("background", "a", "b"))
SEMANTIC = Output("classes", "softmax", ("background", "a", "b"), CLASSES)
OBJECTS = Output("instances", "softmax", ("background", "interior", "boundary"), CLASSES[:2])


@pytest.fixture
def screen():
    """Labels with two classes side by side, a stroke over the border of which one half was wrong, all predicted."""
    labels = np.zeros((1, 80, 120), np.int64)
    labels[0, :, 60:] = 2
    known = np.zeros(labels.shape, bool)
    known[0, 38:42, 50:70] = True
    changed = known.copy()
    changed[0, :, 60:] = False
    return labels, known, changed, np.ones(labels.shape, bool)


def test_what_stands_beside_a_change_teaches_its_class(screen):
    labels, known, changed, shown = screen
    found = uncorrected(labels, known, changed, shown, SEMANTIC)
    assert found.shape == (3, 1, 80, 120) and found.dtype == np.float32
    assert not found[:, known].any(), "what is known is known better"
    assert found[0, 0, 30, 55] == LEFT_WEIGHT and found[2, 0, 40, 72] == LEFT_WEIGHT
    assert not found[1].any()
    reach = int(NEAR)
    assert found[0, 0, 38 - reach, 55] == LEFT_WEIGHT and not found[:, 0, 37 - reach, 55].any()
    assert not found[:, 0, 40, 60 + reach].any(), "strokes that confirmed tell nothing of what is beside them"


def test_where_nothing_was_predicted_nothing_was_left(screen):
    labels, known, changed, shown = screen
    shown[0, :40] = False
    found = uncorrected(labels, known, changed, shown, SEMANTIC)
    assert not found[:, 0, :40].any() and found[:, 0, 45, 55].any()
    assert uncorrected(labels, known, changed, np.zeros_like(shown), SEMANTIC) is None


def test_a_person_looks_at_one_plane_of_a_volume(screen):
    labels, known, changed, shown = (np.repeat(array, 3, 0) for array in screen)
    known[[0, 2]] = changed[[0, 2]] = False
    found = uncorrected(labels, known, changed, shown, SEMANTIC)
    assert found[:, 1].any() and not found[:, [0, 2]].any()


def test_who_paints_whatever_is_on_screen_leaves_what_is_wrong_as_well(screen):
    labels, known, changed, shown = screen
    known[0, 60:64, 20:40] = True
    assert changed.sum() < known.sum() / 2
    assert uncorrected(labels, known, changed, shown, SEMANTIC) is None


def test_without_a_change_or_for_objects_nothing_is_told(screen):
    labels, known, changed, shown = screen
    assert uncorrected(labels, known, np.zeros_like(changed), shown, SEMANTIC) is None
    assert uncorrected(labels, known, changed, shown, OBJECTS) is None
