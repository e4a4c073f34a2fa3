"""Properties of the measures, hand-checked values, and agreement with scikit-image."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage.metrics import adapted_rand_error as skimage_rand
from skimage.metrics import variation_of_information as skimage_vi

from napari_unet.learning.evaluation import (
    THRESHOLDS,
    adapted_rand_error,
    boundary_f1,
    class_scores,
    count_boundaries,
    find_mistakes,
    match_objects,
    match_pairs,
    object_scores,
    panoptic_quality,
    variation_of_information,
)
from napari_unet.learning.overlap import count_overlaps

PERFECT = {"vi_split": 0.0, "vi_merge": 0.0, "rand_error": 0.0}
COUNTS = ("objects", "found", "missed", "invented", "split", "merged")
SYMMETRIC = ("dice", "iou", "f1", "ap", "ap_50", "ap_75", "ap_95", "pq", "boundary_f1")

shapes = st.sampled_from([(9, 11), (4, 5, 6)])


@st.composite
def images(draw, low=0):
    """Two label images of one shape whose objects are blocks, so that they overlap in part."""
    shape = draw(shapes)
    coarse = tuple(-(-n // 2) for n in shape)
    pair = []
    for _ in range(2):
        labels = draw(arrays(np.int32, coarse, elements=st.integers(low, 5)))
        for axis, n in enumerate(shape):
            labels = labels.repeat(2, axis).take(range(n), axis)
        pair.append(np.roll(labels, draw(st.integers(0, 1)), -1))
    return pair[0], pair[1]


def renumbered(labels, seed):
    """Return the labels with other ids; the background stays."""
    ids = np.random.default_rng(seed).permutation(np.arange(100, 100 + labels.max(initial=0)))
    return np.concatenate(([0], ids))[labels]


@settings(max_examples=60, deadline=None)
@given(images(), st.integers(0, 99))
def test_ids_mean_nothing(pair, seed):
    truth, labels = pair
    expected = object_scores(truth, labels)
    found = object_scores(renumbered(truth, seed), renumbered(labels, seed + 1))
    assert found == pytest.approx(expected, nan_ok=True)


@settings(max_examples=30, deadline=None)
@given(images(), st.integers(0, 99))
def test_labels_agree_with_themselves(pair, seed):
    truth = pair[0]
    found = object_scores(truth, renumbered(truth, seed))
    n = float(np.unique(truth[truth > 0]).size)
    expected = {"objects": n, "found": n, "missed": 0, "invented": 0, "split": 0, "merged": 0}
    for name, value in found.items():
        if name in PERFECT:
            assert value == pytest.approx(0, abs=1e-9) or (np.isnan(value) and n == 0)
        else:
            assert value == expected.get(name, 1), name
    classes = class_scores(truth, truth, 6)
    assert all(value == 1 or np.isnan(value) for value in classes.values())


@settings(max_examples=60, deadline=None)
@given(images())
def test_what_is_symmetric_and_what_changes_places(pair):
    one, other = object_scores(*pair), object_scores(*pair[::-1])
    for name in SYMMETRIC:
        assert one[name] == pytest.approx(other[name]), name
    assert one["precision"] == other["recall"]
    assert one["missed"] == other["invented"]
    assert one["split"] == other["merged"]
    table, back = count_overlaps(*pair), count_overlaps(*pair[::-1])
    assert variation_of_information(table, True) == pytest.approx(variation_of_information(back, True)[::-1])
    error, precision, recall = adapted_rand_error(table, True)
    assert adapted_rand_error(back, True) == pytest.approx((error, recall, precision), nan_ok=True)


@settings(max_examples=60, deadline=None)
@given(images())
def test_scores_lie_between_0_and_1_and_stricter_is_never_better(pair):
    found = object_scores(*pair)
    rated = {name: value for name, value in found.items() if name not in (*COUNTS, "vi_split", "vi_merge")}
    assert all(-1e-12 <= value <= 1 or np.isnan(value) for value in rated.values())
    precise = [found[f"ap_{round(100 * t)}"] for t in THRESHOLDS]
    assert all(a >= b for a, b in pairwise(precise))
    assert found["pq"] <= found["f1"] + 1e-12
    assert found["iou"] <= found["dice"]


@settings(max_examples=60, deadline=None)
@given(images(), st.booleans())
def test_partitions_agree_with_scikit_image(pair, background):
    truth, labels = pair
    truth.ravel()[:2] = 1  # skimage divides by zero where no pair of voxels counts
    labels.ravel()[:2] = 1
    ignored = () if background else (0,)
    table = count_overlaps(truth, labels)
    expected = skimage_vi(truth, labels, ignore_labels=ignored)
    assert variation_of_information(table, background) == pytest.approx(tuple(expected), abs=1e-9)
    error, first, second = skimage_rand(truth, labels, ignore_labels=ignored)
    # What skimage calls precision is a share of the pairs of the truth: its names have changed places.
    assert adapted_rand_error(table, background) == pytest.approx((error, second, first), abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(images(), st.sampled_from([0.1, 0.3, 0.5]))
def test_no_better_matching_exists(pair, threshold):
    """Against a plain search for augmenting paths, which finds as many pairs as there can be."""
    first, second, _, overlap = count_overlaps(*pair).objects()
    partners: dict[int, list[int]] = {}
    for a, b in zip(first[overlap >= threshold], second[overlap >= threshold], strict=True):
        partners.setdefault(int(a), []).append(int(b))
    taken: dict[int, int] = {}

    def find(a, seen):
        for b in partners[a]:
            if b not in seen:
                seen.add(b)
                if b not in taken or find(taken[b], seen):
                    taken[b] = a
                    return True
        return False

    most = sum(find(a, set()) for a in partners)
    pairs = match_pairs(count_overlaps(*pair), threshold)
    assert pairs.matches.true_positives == most == pairs.iou.size
    assert np.unique(pairs.truth).size == np.unique(pairs.labels).size == most
    assert (pairs.iou >= threshold).all()


def test_a_drawn_example():
    """Two true objects; one found with IoU 4/5, one found as halves, one object invented."""
    truth = np.array([[1, 1, 1, 1, 1, 0, 2, 2, 2, 2, 0, 0]])
    labels = np.array([[5, 5, 5, 5, 0, 0, 6, 6, 7, 7, 0, 8]])
    found = object_scores(truth, labels)
    assert found["precision"] == 2 / 4  # 5 matches 1 (4/5); 6 matches 2 (2/4)
    assert found["recall"] == 1
    assert found["f1"] == 2 * 2 / (2 * 2 + 2)
    assert (found["ap_50"], found["ap_55"], found["ap_80"], found["ap_85"]) == (2 / 4, 1 / 5, 1 / 5, 0)
    assert found["ap"] == pytest.approx((2 / 4 + 6 / 5) / 10)
    assert found["pq"] == pytest.approx((0.8 + 0.5) / (2 + 2 / 2))
    assert found["dice"] == 2 * 8 / (9 + 9)
    # 5 of the 9 true voxels lie in object 1 (4 kept, 1 lost), 4 in object 2 (halved: one bit).
    lost = -(4 * np.log2(4 / 5) + np.log2(1 / 5)) / 9
    assert found["vi_split"] == pytest.approx(lost + 4 / 9)
    assert found["vi_merge"] == 0
    # Ordered pairs: true 5·4 + 4·3, found 4·3 + 2·1 + 2·1, all of them right.
    assert found["rand_error"] == pytest.approx(1 - 2 * 16 / (16 + 32))
    assert {name: found[name] for name in COUNTS} == {
        "objects": 2, "found": 4, "missed": 0, "invented": 1, "split": 1, "merged": 0
    }  # fmt: skip


def test_mistakes_are_told_apart():
    truth = np.array([[1, 1, 1, 1, 0, 2, 2, 0, 3, 3, 0, 4, 4, 0, 0, 0]])
    labels = np.array([[6, 6, 7, 7, 0, 5, 5, 5, 5, 5, 0, 0, 0, 0, 8, 8]])
    mistakes = find_mistakes(count_overlaps(truth, labels))
    assert mistakes.split.tolist() == [1]
    assert mistakes.pieces.tolist() == [6, 7]
    assert mistakes.merged.tolist() == [5]
    assert mistakes.missed.tolist() == [4]
    assert mistakes.invented.tolist() == [8]


def test_boundaries_within_the_tolerance():
    truth, moved = np.zeros((2, 40, 40), int)
    truth[10:30, 10:30] = 1
    moved[10:30, 13:33] = 1
    assert boundary_f1(truth, moved, 3) == 1
    # Above and below, 17 pixels lie on the other boundary and two more within 2; so do two at each corner's other side.
    close = 2 * (17 + 2) + 4
    assert count_boundaries(truth, moved, 2).close_labels == close
    assert boundary_f1(truth, moved, 2) == pytest.approx(close / 76)
    assert boundary_f1(truth, np.zeros_like(truth)) == 0
    assert boundary_f1(truth, np.ones_like(truth)) == 0, "the border of the image is no boundary"
    assert boundary_f1(truth * 0, truth * 0) == 1


def test_boundaries_of_planes_far_apart():
    truth, moved = np.zeros((2, 9, 12, 12), int)
    truth[3:6, 3:9, 3:9] = 1
    moved[4:7, 3:9, 3:9] = 1
    assert boundary_f1(truth, moved, 1) == 1
    assert boundary_f1(truth, moved, 1, (5.0, 1.0, 1.0)) < 1


def test_touching_objects_have_a_boundary_between_them():
    halves = np.array([[1, 1, 1, 2, 2, 2]])
    one = np.ones((1, 6), int)
    assert count_boundaries(halves, one).truth == 2
    assert boundary_f1(halves, one) == 0


def test_time_points_are_matched_on_their_own():
    truth = np.array([[[[1, 1, 0, 0]]], [[[1, 1, 0, 0]]]])
    labels = np.array([[[[2, 2, 0, 0]]], [[[0, 0, 2, 2]]]])
    found = object_scores(truth, labels)
    assert (found["precision"], found["recall"], found["ap_50"]) == (0.5, 0.5, 1 / 3)
    assert (found["missed"], found["invented"]) == (1, 1)
    assert (found["vi_split"], found["vi_merge"]) == (0, 0), "an id that comes again merges nothing"
    assert object_scores(truth, labels, tolerance=0.5)["boundary_f1"] == 0.5


def test_images_without_objects():
    none, some = np.zeros((5, 5), int), np.eye(5, dtype=int)
    empty = object_scores(none, none)
    assert empty["ap"] == empty["pq"] == empty["dice"] == empty["boundary_f1"] == 1
    assert np.isnan(empty["vi_split"])
    assert np.isnan(empty["rand_error"])
    assert object_scores(none, some)["invented"] == 1
    assert object_scores(some, none)["missed"] == 1
    assert object_scores(some, none)["pq"] == 0


def test_classes_have_scores_each():
    truth = np.array([[0, 0, 1, 2]])
    found = class_scores(truth, np.array([[0, 1, 1, 1]]), 4)
    assert found["dice_class_1"] == 0.5
    assert (found["precision_class_1"], found["recall_class_1"]) == (1 / 3, 1)
    assert found["iou_class_0"] == 0.5
    assert found["recall_class_2"] == 0
    assert found["mean_dice"] == pytest.approx((2 / 3 + 1 / 2 + 0) / 3)
    assert found["mean_iou"] == pytest.approx((1 / 2 + 1 / 3 + 0) / 3)
    assert "dice_class_3" not in found


def test_a_mask_leaves_out_objects_that_are_mostly_outside():
    truth = np.array([[1, 1, 1, 1, 0, 2, 2, 2]])
    labels = np.array([[1, 1, 1, 1, 0, 2, 2, 2]])
    mask = np.array([[1, 1, 0, 0, 1, 1, 0, 0]], bool)
    found = match_objects(truth, labels, 0.5, mask)
    assert (found.true_positives, found.false_positives, found.false_negatives) == (1, 0, 0)


def test_panoptic_quality_is_recognition_times_segmentation():
    truth = np.repeat(np.arange(1, 5), 10)[np.newaxis]
    labels = np.where(np.arange(40) % 10 < 8, truth, 0)
    labels[truth == 4] = 0
    pairs = match_pairs(count_overlaps(truth, labels))
    assert panoptic_quality(pairs) == pytest.approx(pairs.matches.f1 * pairs.iou.mean())
    assert pairs.iou.tolist() == [0.8, 0.8, 0.8]
