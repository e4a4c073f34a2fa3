import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.measure import label

from napari_unet.learning.evaluation import class_dice, dice, match_objects
from napari_unet.learning.pooling import count, pooled, shares
from napari_unet.model.header import ClassInfo, Output

NAMES = tuple(ClassInfo(name, "#000000") for name in "abc")
CLASSES = Output("classes", "softmax", ("a", "b", "c"), NAMES)
BINARY = Output("binary", "sigmoid", ("foreground",), NAMES[:2])
OBJECTS = Output("instances", "softmax", ("background", "interior", "boundary"), NAMES[:2])


def blocks(seed, n, objects=False):
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(n):
        truth = rng.integers(0, 3, (12, 14)) * (rng.random() < 0.8)
        other = np.where(rng.random(truth.shape) < 0.7, truth, rng.integers(0, 3, truth.shape))
        if objects:
            truth, other = label(truth > 1), label(other > 1)
        found.append((truth, other, rng.random(truth.shape) < rng.uniform(0.2, 1)))
    return found


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 12), st.sampled_from([CLASSES, BINARY, OBJECTS]))
def test_the_mean_of_the_shares_is_the_score_of_all_blocks(seed, n, output):
    counts = [count(*block, output) for block in blocks(seed, n, output is OBJECTS)]
    values = shares(counts, output)
    assert len(values) == n
    score = pooled(np.sum(counts, axis=0), output)
    assert 0 <= score <= 1
    assert np.mean(values) == pytest.approx(score)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000))
def test_one_block_is_scored_as_the_scores_are_defined(seed):
    ((truth, found, mask),) = blocks(seed, 1)
    mask[0] = True
    values = class_dice(truth, found, 3, mask)
    assert pooled(count(truth, found, mask, CLASSES), CLASSES) == pytest.approx(np.mean(list(values.values())))
    ((truth, found, mask),) = blocks(seed, 1, objects=True)
    objects = match_objects(truth, found, 0.5, mask).average_precision
    overlap = dice(truth, found, mask) if (truth[mask] > 0).any() else dice(truth == 0, found == 0, mask)
    expected = (overlap + objects) / 2
    assert pooled(count(truth, found, mask, OBJECTS), OBJECTS) == pytest.approx(expected)


def test_a_model_that_finds_nothing_is_not_rewarded_for_empty_blocks():
    """Nine blocks without an object, one with two: the mean over blocks would prefer the blind model."""
    empty, full, some = np.zeros((20, 20), int), np.zeros((20, 20), int), np.zeros((20, 20), int)
    full[2:8, 2:8], full[11:18, 11:18], some[3:6, 3:6] = 1, 2, 1
    everywhere = np.ones(full.shape, bool)
    truths = [empty] * 9 + [full]
    blind = [count(truth, empty, everywhere, OBJECTS) for truth in truths]
    seeing = [
        count(truth, found, everywhere, OBJECTS) for truth, found in zip(truths, [some, *truths[1:]], strict=True)
    ]
    assert np.mean(shares(seeing, OBJECTS)) > 0.7
    assert np.mean(shares(blind, OBJECTS)) == pytest.approx(0, abs=1e-9)


def test_fewer_false_voxels_are_better_where_nothing_is_true():
    nothing, mask = np.zeros((20, 20), int), np.ones((20, 20), bool)
    little, much = nothing.copy(), nothing.copy()
    little[:2, :2], much[:15] = 1, 1
    scores = [pooled(count(nothing, found, mask, OBJECTS), OBJECTS) for found in (much, little, nothing)]
    assert scores[0] < scores[1] < scores[2] == 1


def test_blocks_that_agree_alike_have_no_spread():
    ((truth, found, mask),) = blocks(3, 1)
    values = shares([count(truth, found, mask, CLASSES)] * 5, CLASSES)
    assert np.ptp(values) < 1e-9
    assert shares((), CLASSES) == ()
