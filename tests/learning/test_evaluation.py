import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.measure import label

from napari_unet.learning.evaluation import (
    Matches,
    bootstrap,
    class_dice,
    dice,
    iou,
    match_objects,
)


def slow_matches(truth, labels, threshold, mask):
    """One object at a time; exact for thresholds above a half, where no object has two partners."""

    def kept(array):
        return [k for k in np.unique(array) if k and 2 * ((array == k) & mask).sum() >= (array == k).sum()]

    a, b = kept(truth), kept(labels)
    hits = 0
    for i in a:
        for j in b:
            first, second = (truth == i) & mask, (labels == j) & mask
            union = (first | second).sum()
            hits += bool(union) and (first & second).sum() / union >= threshold
    return hits, len(b) - hits, len(a) - hits


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.51, 0.6, 0.75]), st.booleans())
def test_matching_agrees_with_one_object_at_a_time(seed, threshold, masked):
    rng = np.random.default_rng(seed)
    image = rng.random((24, 30))
    for _ in range(3):
        image = (image + np.roll(image, 1, 0) + np.roll(image, 1, 1)) / 3
    truth = label(image > np.quantile(image, 0.6), connectivity=1)
    labels = label(np.roll(image, rng.integers(0, 2), 1) > np.quantile(image, rng.uniform(0.5, 0.7)), connectivity=1)
    mask = rng.random(truth.shape) < 0.7 if masked else np.ones(truth.shape, bool)
    found = match_objects(truth, labels * 7, threshold, mask if masked else None)
    expected = slow_matches(truth, labels, threshold, mask)
    assert (found.true_positives, found.false_positives, found.false_negatives) == expected


def test_low_thresholds_match_one_to_one():
    truth = np.array([[1, 1, 1, 1, 2, 2, 2, 2]])
    labels = np.array([[1, 1, 2, 2, 2, 2, 3, 3]])
    assert match_objects(truth, labels, 0.3) == Matches(2, 1, 0)
    assert match_objects(truth, labels, 0.5) == Matches(2, 1, 0)


def test_empty_images_agree_fully():
    none = np.zeros((4, 4), int)
    assert match_objects(none, none).average_precision == 1
    assert dice(none, none) == iou(none, none) == 1


@given(st.integers(0, 1000))
def test_dice_and_iou_by_counting(seed):
    rng = np.random.default_rng(seed)
    a, b, mask = (rng.random((3, 10, 12)) < 0.5).astype(bool)
    pairs = [(x, y) for x, y, m in zip(a.ravel(), b.ravel(), mask.ravel(), strict=True) if m]
    both = sum(x and y for x, y in pairs)
    either = sum(x or y for x, y in pairs)
    assert iou(a, b, mask) == pytest.approx(both / either)
    assert dice(a, b, mask) == pytest.approx(2 * both / (both + either))
    assert class_dice(a.astype(int), b.astype(int), 3, mask)[1] == pytest.approx(dice(a, b, mask))


def test_the_interval_holds_the_mean_and_shrinks():
    few, many = [0.2, 0.4, 0.9], [0.2, 0.4, 0.9] * 20
    low, high = bootstrap(few)
    assert 0.2 <= low < 0.5 < high <= 0.9
    narrow = bootstrap(many)
    assert narrow[1] - narrow[0] < high - low
