import numpy as np
import pytest

from napari_unet.errors import OutputError, UserError
from napari_unet.learning.identity import inherit_ids
from napari_unet.learning.truth import Truth


def two_squares(dtype=np.uint32):
    labels = np.zeros((1, 1, 100, 200), dtype)
    labels[0, 0, 10:30, 10:30] = 1
    labels[0, 0, 10:30, 30:50] = 2
    return labels


def box(z, y, x):
    return slice(*z), slice(*y), slice(*x)


def test_a_stroke_makes_the_whole_object_and_its_rim_known():
    truth = Truth(two_squares(), instances=True)
    truth.labels[0, 0, 12, 12] = 0
    edit = truth.record_edit(0, box((0, 1), (12, 13), (12, 13)))
    assert edit is not None
    assert truth.known[0, 0, 10:30, 10:30].all(), "the rest of object 1"
    assert truth.known[0, 0, 8:10, 10:30].all(), "its rim"
    assert not truth.known[0, 0, :, 33:].any(), "object 2 stays open but for the rim"
    assert truth.changed.sum() == 1
    assert truth.n_known == truth.known.sum()


def test_an_object_that_another_is_painted_over_is_not_taken_for_right():
    truth = Truth(two_squares(), instances=True)
    truth.paint(0, box((0, 1), (15, 20), (15, 20)), np.ones((1, 5, 5), bool), 3)
    assert truth.known[0, 0, 13:22, 15:20].all(), "object 3 and its rim"
    assert not truth.known[0, 0, 10:30, 24:30].any(), "object 1 stays open"
    truth.paint(0, box((0, 1), (29, 30), (29, 30)), np.ones((1, 1, 1), bool), 0)
    assert truth.known[0, 0, 10:30, 10:30].all(), "erased some of object 1: the rest is right"


def test_a_stroke_on_classes_makes_only_its_voxels_known():
    truth = Truth(two_squares(), instances=False)
    swept = np.zeros((1, 5, 5), bool)
    swept[0, 2] = True
    truth.record_edit(0, box((0, 1), (50, 55), (50, 55)), swept)
    assert truth.n_known == 5
    assert truth.changed.sum() == 0, "painted what was there: confirmed, not changed"


def test_a_long_object_is_found_beyond_the_stroke():
    labels = np.zeros((1, 3, 40, 900), np.uint32)
    labels[0, 1, 20, 5:880] = 7
    truth = Truth(labels, instances=True, rim=1)
    labels[0, 1, 20, 400] = 0
    edit = truth.record_edit(0, box((1, 2), (20, 21), (400, 401)))
    assert truth.known[0, 1, 20, 5:880].all()
    assert edit.box == box((1, 2), (19, 22), (4, 881))


def test_nothing_painted_is_no_step():
    truth = Truth(two_squares(), instances=True)
    assert truth.record_edit(0, box((0, 1), (0, 50), (0, 50))) is None


def test_delete_makes_background_known():
    truth = Truth(two_squares(), instances=True)
    edit = truth.delete_object(0, (0, 15, 15))
    assert not (truth.labels == 1).any()
    assert (truth.labels == 2).sum() == 400
    assert truth.known[0, 0, 10:30, 10:30].all()
    truth.write_prediction(0, box((0, 1), (0, 100), (0, 200)), two_squares()[0])
    assert not (truth.labels == 1).any(), "a new prediction does not bring it back"
    edit.undo(truth)
    assert (truth.labels == 1).sum() == 400


def test_joining_classes_makes_nothing_else_known():
    labels = two_squares()
    labels[0, 0, 60:90, 100:130] = 1  # of the class of the first, and not pointed at
    truth = Truth(labels, instances=False)
    truth.join(0, [(0, 15, 15), (0, 15, 40)])
    assert (truth.labels == 2).sum() == 0
    assert truth.known.sum() == 800
    assert not truth.known[0, 0, 60:90, 100:130].any()


def test_join_and_split():
    truth = Truth(two_squares(), instances=True)
    truth.join(0, [(0, 15, 15), (0, 15, 40)])
    assert (truth.labels == 1).sum() == 800
    edit = truth.split(0, (0, 20, 20), (0, 20, 40))
    assert set(np.unique(truth.labels)) == {0, 1, 3}
    assert abs(int((truth.labels == 1).sum()) - 400) <= 40
    edit.undo(truth)
    assert (truth.labels == 1).sum() == 800
    assert truth.next_id() == 4, "ids are never used twice"


@pytest.mark.parametrize(
    "act",
    [
        lambda truth: truth.accept_object(0, (0, 0, 0)),
        lambda truth: truth.delete_object(0, (0, 0, 0)),
        lambda truth: truth.join(0, [(0, 15, 15), (0, 16, 15)]),
        lambda truth: truth.split(0, (0, 15, 15), (0, 15, 40)),
    ],
)
def test_impossible_actions_say_why_and_change_nothing(act):
    truth = Truth(two_squares(), instances=True)
    with pytest.raises(UserError):
        act(truth)
    assert truth.n_known == 0
    assert np.array_equal(truth.labels, two_squares())


def test_accept_of_a_class_takes_the_connected_area():
    labels = np.zeros((1, 1, 100, 200), np.uint8)
    labels[0, 0, 10:20, 10:20] = labels[0, 0, 60:80, 100:150] = 1
    truth = Truth(labels, instances=False)
    truth.accept_object(0, (0, 12, 12))
    assert truth.n_known == 100


def test_regions_are_counted():
    truth = Truth(np.zeros((1, 1, 400, 400), np.uint8), instances=False)
    for start in (0, 150, 300):
        truth.accept(0, box((0, 1), (start, start + 20), (start, start + 50)))
    assert truth.n_regions == 3
    assert truth.n_known == 3000
    known = truth.known_box(0)
    assert known is not None
    assert known[1] == slice(0, 320)


def test_a_label_that_does_not_fit_is_an_error():
    truth = Truth(np.zeros((1, 1, 8, 8), np.uint8), instances=True)
    with pytest.raises(OutputError, match="300"):
        truth.write_prediction(0, box((0, 1), (0, 8), (0, 8)), np.full((1, 8, 8), 300))
    assert not truth.labels.any()


def test_ids_are_inherited():
    truth = Truth(two_squares(), instances=True)
    new = np.zeros(truth.shape, np.int32)
    new[0, 11:31, 11:31] = 2  # object 1, moved
    new[0, 11:31, 31:51] = 1  # object 2, moved
    new[0, 70:90, 70:90] = 3
    table = inherit_ids(new, truth, 0)
    assert table.tolist() == [0, 2, 1, 3]


def test_a_prediction_on_a_known_object_takes_its_id_and_is_clipped():
    truth = Truth(two_squares(), instances=True)
    mask = np.ones((1, 20, 20), bool)
    truth.paint(0, box((0, 1), (60, 80), (60, 80)), mask, 9)
    new = np.zeros(truth.shape, np.int32)
    new[0, 58:83, 58:83] = 1
    table = inherit_ids(new, truth, 0)
    assert table[1] == 9
    truth.write_prediction(0, box((0, 1), (0, 100), (0, 200)), table[new])
    assert (truth.labels[0, 0, 60:80, 60:80] == 9).all()
    assert (truth.labels == 1).sum() == 0
    assert not truth.labels[0, 0, 58:60, 60:80].any(), "the rim is known background"


def test_fresh_ids_never_collide():
    truth = Truth(two_squares(), instances=True)
    truth.delete_object(0, (0, 15, 15))
    new = np.zeros(truth.shape, np.int32)
    new[0, 50:60, 50:60], new[0, 70:80, 70:80] = 1, 2
    assert inherit_ids(new, truth, 0).tolist() == [0, 3, 4]
