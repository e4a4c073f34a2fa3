import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_unet.learning.audit import Accuracy, accuracy
from napari_unet.learning.verdict import FLAT_MINUTES, GOOD, LAST, judge, rolling, trend

scores = st.lists(st.floats(0, 1), max_size=30)


def points(values, every=2.0):
    return [(every * n, value) for n, value in enumerate(values)]


def noisy(level, n, spread=0.05):
    return [level + spread * (-1) ** k for k in range(n)]


def test_too_early():
    few = judge((), points([0.5] * 3), None)
    assert few.kind == "early"
    assert "3 regions corrected" in few.sentence
    assert "no regions" in judge((), (), None).sentence
    assert "accuracy 0.90 (1 random region)." in judge(points([0.9]), (), accuracy([0.9])).sentence


def test_still_getting_better():
    verdict = judge((), points(np.linspace(0.4, 0.9, 10)), None)
    assert verdict.kind == "improving"
    assert "→" in verdict.sentence
    rising = np.linspace(0.4, 0.9, 10)
    verdict = judge(points(rising), (), accuracy(rising))
    assert verdict.kind == "improving"
    assert "accuracy" in verdict.sentence


def test_only_random_regions_say_good_enough():
    flat = noisy(0.91, 20)
    assert judge((), points(flat), None).kind == "flat"
    assert "click Next" in judge((), points(flat), None).sentence
    verdict = judge(points(flat), points(flat), Accuracy(0.91, 0.87, 0.95, 12))
    assert verdict.kind == "enough"
    expected = "Probably good enough: accuracy 0.91 (0.87–0.95, 12 random regions) and flat for 38 minutes."
    assert verdict.sentence == expected


def test_flat_but_bad_and_flat_but_short():
    bad = noisy(GOOD - 0.2, 20)
    assert judge(points(bad), (), accuracy(bad)).kind == "flat"
    short = points(noisy(0.9, 9), FLAT_MINUTES / 20)
    assert judge(short, (), accuracy([0.9] * 9)).kind == "early"


def test_noise_is_no_trend():
    rng = np.random.default_rng(0)
    kinds = [judge((), points(rng.normal(0.7, 0.1, 24).clip(0, 1)), None).kind for _ in range(200)]
    assert kinds.count("improving") < 60


@given(scores)
def test_never_good_enough_without_random_regions(values):
    assert judge((), points(values), None).kind != "enough"
    assert judge(points(values[: LAST - 1]), points(values), accuracy(values[: LAST - 1])).kind != "enough"


@given(scores)
def test_rolling_means_are_means_of_the_last(values):
    means = rolling(points(values))
    assert len(means) == len(values)
    for n, (_, mean) in enumerate(means):
        assert mean == pytest.approx(np.mean(values[max(0, n - LAST + 1) : n + 1]))
    found = trend(points(values))
    assert (found is None) == (len(values) < LAST)
    if found is not None:
        assert 0 <= found.flat_minutes <= 2 * len(values)
