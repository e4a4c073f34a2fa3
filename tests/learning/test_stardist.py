"""Agreement of matching and panoptic quality with StarDist 0.9.2, which counts on its own.

Its numbers for two pairs of images stand here; where it is installed (``tox -e agreement``), any pair must agree.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet.learning.evaluation import match_pairs, panoptic_quality
from napari_unet.learning.overlap import count_overlaps

# (tp, fp, fn, precision, recall, accuracy, f1, panoptic quality) as printed by stardist.matching.matching
PRINTED = {
    (2, 0.3): (17, 7, 13, 0.708333, 0.566667, 0.459459, 0.629630, 0.325424),
    (2, 0.5): (9, 15, 21, 0.375000, 0.300000, 0.200000, 0.333333, 0.212769),
    (2, 0.7): (2, 22, 28, 0.083333, 0.066667, 0.038462, 0.074074, 0.057407),
    (3, 0.3): (8, 14, 22, 0.363636, 0.266667, 0.181818, 0.307692, 0.147337),
    (3, 0.5): (4, 18, 26, 0.181818, 0.133333, 0.083333, 0.153846, 0.086699),
    (3, 0.7): (1, 21, 29, 0.045455, 0.033333, 0.019608, 0.038462, 0.027098),
}


def pair(ndim, seed=0, size=None):
    """Return boxes in a random order as truth, and the same boxes moved, shrunk or left out as labels."""
    rng = np.random.default_rng(seed)
    shape = (60, 70) if ndim == 2 else (20, 24, 28)
    truth, labels = np.zeros((2, *shape), np.int32)
    for number in range(1, 31):
        start = rng.integers(0, np.array(shape) - 6)
        length = rng.integers(3, 8, ndim)
        shift = rng.integers(-1, 2, ndim)
        shrunk = rng.integers(0, 3, ndim)
        truth[tuple(slice(a, a + n) for a, n in zip(start, length, strict=True))] = number
        moved = np.maximum(start + shift, 0)
        if number % 5:
            labels[tuple(slice(a, a + max(1, n - s)) for a, n, s in zip(moved, length, shrunk, strict=True))] = (
                50 - number
            )
    return truth, labels


def found(truth, labels, threshold):
    """Return what `PRINTED` holds."""
    pairs = match_pairs(count_overlaps(truth, labels), threshold)
    matches = pairs.matches
    counts = (matches.true_positives, matches.false_positives, matches.false_negatives)
    rates = (matches.precision, matches.recall, matches.average_precision, matches.f1)
    return (*counts, *rates, panoptic_quality(pairs))


@pytest.mark.parametrize(("ndim", "threshold"), PRINTED)
def test_the_numbers_are_those_that_stardist_printed(ndim, threshold):
    assert found(*pair(ndim), threshold) == pytest.approx(PRINTED[ndim, threshold], abs=1e-6)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from([2, 3]), st.integers(0, 10_000), st.sampled_from([0.1, 0.3, 0.5, 0.51, 0.75, 0.95]))
def test_any_pair_agrees_with_stardist(ndim, seed, threshold):
    stardist = pytest.importorskip("stardist.matching", reason="runs in the tox environment 'agreement'")
    truth, labels = pair(ndim, seed)
    expected = stardist.matching(truth, labels, thresh=threshold)
    names = ("tp", "fp", "fn", "precision", "recall", "accuracy", "f1")
    *counts, quality = found(truth, labels, threshold)
    assert counts == pytest.approx([getattr(expected, name) for name in names])
    if threshold >= 0.5:
        assert quality == pytest.approx(expected.panoptic_quality, abs=1e-6)
    else:  # StarDist weighs pairs below the threshold, too, which costs some overlap of those above
        assert quality >= expected.panoptic_quality - 1e-6
