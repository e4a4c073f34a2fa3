"""What differs between two predictions."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_unet.learning.changes import (
    CHANGED,
    GAINED,
    LOST,
    Counts,
    class_changes,
    classes_sentence,
    object_changes,
    objects_sentence,
)

LABELS = arrays(np.uint16, (1, 6, 7), elements=st.integers(0, 4))


def squares(**places):
    """Squares of 10 × 10 pixels at (y, x), by id."""
    labels = np.zeros((1, 60, 60), np.uint32)
    for name, (y, x) in places.items():
        labels[0, y : y + 10, x : x + 10] = int(name[1:])
    return labels


def test_objects_are_gained_lost_changed_or_the_same():
    before = squares(o1=(0, 0), o2=(20, 0), o3=(40, 0))
    after = squares(o7=(0, 0), o5=(22, 0), o9=(40, 40))
    found, counts = object_changes(before, after)
    assert counts == Counts(gained=1, lost=1, changed=1, same=1)
    assert not found[0, :15].any()
    assert (found[0, 20:22, :10] == CHANGED).all()
    assert (found[0, 30:32, :10] == CHANGED).all()
    assert not found[0, 22:30].any()
    assert (found[0, 40:50, :10] == LOST).all()
    assert (found[0, 40:50, 40:50] == GAINED).all()


def test_an_object_that_was_split_is_marked():
    before, after = np.zeros((1, 12, 12), int), np.zeros((1, 12, 12), int)
    before[0, 1:11, 1:11] = 1
    after[0, 1:11, 1:5], after[0, 1:11, 7:11] = 1, 2
    found, counts = object_changes(before, after)
    assert (counts.gained, counts.lost) == (2, 1)
    assert (found[0, 1:11, 1:5] == CHANGED).all()
    assert (found[0, 1:11, 5:7] == LOST).all()


@given(LABELS, LABELS)
def test_counts_add_up_and_back_is_the_mirror_image(before, after):
    found, counts = object_changes(before, after)
    assert counts.lost + counts.changed + counts.same == np.unique(before[before > 0]).size
    assert counts.gained + counts.changed + counts.same == np.unique(after[after > 0]).size
    back, other = object_changes(after, before)
    assert (other.gained, other.lost, other.changed) == (counts.lost, counts.gained, counts.changed)
    np.testing.assert_array_equal((back == GAINED), (found == LOST))
    np.testing.assert_array_equal(back == CHANGED, found == CHANGED)


@given(LABELS)
def test_nothing_changes_against_itself_whatever_the_ids(labels):
    found, counts = object_changes(labels, np.where(labels > 0, 9 - labels, 0))
    assert not found.any()
    assert objects_sentence(counts).startswith("nothing changed")


@given(LABELS, LABELS)
def test_classes_count_every_voxel(before, after):
    found, counts = class_changes(before, after, 5)
    assert sum(count.same for count in counts) == np.count_nonzero(before == after)
    assert sum(count.gained for count in counts) == sum(count.lost for count in counts) == np.count_nonzero(found)
    assert np.count_nonzero(found == GAINED) == counts[0].lost
    assert np.count_nonzero(found == LOST) == counts[0].gained


def test_a_change_of_class_is_told_by_class():
    before, after = np.array([[[0, 1, 1, 2]]]), np.array([[[1, 0, 2, 2]]])
    found, counts = class_changes(before, after, 3)
    assert found.ravel().tolist() == [GAINED, LOST, CHANGED, 0]
    assert classes_sentence(counts, ("background", "a", "b")) == "75.0 % of the pixels changed: a +1 −2, b +1 −0"
