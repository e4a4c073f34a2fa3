import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_unet.learning.decision import decide, gain_interval

scores = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=40)


def test_decisions():
    assert decide([0.9], [0.1]).verdict == "preliminary"
    assert decide([], []).candidate is None
    better = decide([0.9, 0.8, 0.7], [0.5, 0.6, 0.7])
    assert better.verdict == "adopt"
    assert "0.600 → 0.800 on 3 blocks" in better.sentence
    assert decide([0.5, 0.6], [0.5, 0.6]).verdict == "keep"
    assert decide([0.4, 0.5], [0.5, 0.6]).verdict == "keep"
    unclear = decide([0.9, 0.4], [0.5, 0.6])
    assert unclear.verdict == "preliminary"
    assert "may as well be worse" in unclear.sentence


def test_a_few_blocks_that_happen_to_agree_are_no_proof():
    assert decide([0.61, 0.61], [0.6, 0.6]).verdict == "preliminary"
    assert decide([0.61] * 12, [0.6] * 12).verdict == "adopt"


def test_a_candidate_that_is_as_good_has_learned_from_more():
    saturated = decide([1.0, 0.99, 1.0, 0.99] * 4, [1.0] * 16)
    assert saturated.verdict == "adopt"
    assert "as good, and it has learned from more" in saturated.sentence
    assert decide([0.97] * 16, [1.0] * 16).verdict == "keep"


def test_where_the_blocks_favour_the_parent_a_lower_agreement_is_for_the_user_to_judge():
    lower = ([0.7] * 10, [0.75] * 10)
    assert decide(*lower).verdict == "keep"
    asked = decide(*lower, favours_parent=True)
    assert asked.verdict == "preliminary" and "what you left" in asked.sentence
    assert decide([0.9] * 10, [0.7] * 10, favours_parent=True).verdict == "adopt"
    forgetful = ([0.3] * 8, [0.9] * 8)
    assert decide(*lower, guard=forgetful, favours_parent=True).verdict == "keep"


def test_a_candidate_that_forgets_more_than_it_gains_is_not_adopted():
    many, little = ([0.9] * 20, [0.5] * 20), ([0.56] * 20, [0.5] * 20)
    assert decide(*many, guard=([0.9, 0.8], [0.9, 0.81])).verdict == "adopt"
    assert decide(*many, guard=([0.6] * 8, [0.95] * 8)).verdict == "adopt", "it gains more than it forgets"
    forgetful = decide(*little, guard=([0.8, 0.5] * 4, [0.9, 0.8] * 4))
    assert forgetful.verdict == "keep"
    assert forgetful.guard == pytest.approx((0.85, 0.65))
    assert "forgets: the first regions of the work 0.850 → 0.650" in forgetful.sentence
    assert decide(*little, guard=([0.7] * 8, [0.8] * 8)).verdict == "keep"
    assert decide(*little, guard=([0.73] * 8, [0.8] * 8)).verdict == "adopt", "that may be chance"
    few = decide([], [], guard=([0.5], [0.9]))
    assert few.verdict == "preliminary"
    assert "forgets" in few.sentence
    assert decide(*many, guard=((), ())).guard is None


@given(scores)
def test_the_interval_holds_the_mean_and_never_vanishes(blocks):
    candidate, parent = zip(*blocks, strict=True)
    low, high = gain_interval(candidate, parent)
    assert low < np.mean(np.subtract(candidate, parent)) < high
    assert high - low > 0.03 / np.sqrt(len(blocks))


def test_a_candidate_that_loses_the_first_regions_is_not_adopted_unasked():
    guard = [0.0], [0.339]
    decision = decide([0.5, 0.5], [0.1, 0.15], guard=guard)
    assert decision.verdict == "preliminary"
    assert "it loses much of what was right (the first regions of the work 0.339 → 0.000)" in decision.sentence
    assert decide([0.5, 0.5], [0.1, 0.15], guard=([0.3], [0.339])).verdict == "adopt"
