from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from tests.learning.test_trainer import finish, model, region

from napari_unet.learning import choice
from napari_unet.learning.learner import halfway
from napari_unet.learning.settings import TrainSettings
from napari_unet.learning.trainer import Trainer

FULL = TrainSettings(steps=110, threads=1, device="cpu", batch=1, patch=(1, 32, 32))  # no short round


@pytest.fixture(scope="module")
def parent():
    result, _ = finish(Trainer(model(), [region()], (), FULL))
    return result.checkpoint


@pytest.fixture
def kept(parent, monkeypatch):
    """A second round; returns how far its weights went from the parent's, as a share of what an unmixed one goes."""

    def train(validation=(), start=parent, **changes):
        before, lengths = start.network.state_dict(), []
        for trust in (2.0, choice.HALFWAY_TRUST):  # the first is never reached
            monkeypatch.setattr(choice, "HALFWAY_TRUST", trust)
            result, _ = finish(Trainer(start, [region(2)], validation, replace(FULL, **changes)))
            after = result.checkpoint.network.state_dict()
            lengths.append(sum(float((after[n] - before[n]).pow(2).sum()) for n in after if "weight" in n) ** 0.5)
        return lengths[1] / lengths[0]

    return train


def test_the_mean_of_two_states():
    mean = halfway({"a": torch.zeros(2), "n": torch.tensor(1)}, {"a": torch.ones(2), "n": torch.tensor(7)})
    assert mean["a"].tolist() == [0.5, 0.5]
    assert mean["n"] == 7


def test_a_round_goes_halfway_from_a_parent_that_is_right_already(kept):
    assert kept() == pytest.approx(0.5, abs=1e-3)


def test_a_short_round_goes_all_the_way(kept):
    assert kept(steps=12) == pytest.approx(1, abs=1e-6)


def test_the_blocks_say_whether_halfway_is_far_enough(kept, monkeypatch):
    assert kept([region(1)]) < 0.7
    monkeypatch.setattr(choice, "HALFWAY_COST", -1.0)
    assert kept([region(1)]) == pytest.approx(1, abs=1e-6)


def test_nothing_is_kept_of_a_parent_that_knows_nothing(kept, parent):
    wrong = replace(parent, network=deepcopy(parent.network))
    with torch.no_grad():
        wrong.network.head.weight.neg_()
        wrong.network.head.bias.neg_()
    assert kept(start=wrong) == pytest.approx(1, abs=1e-6)


def test_of_equal_looks_the_later_is_kept():
    class Scoring:
        blocks = (None,)

        def score(self, learner, should_stop):
            return (1.0, 1.0)

    from napari_unet.learning.learner import Learner

    learner = Learner(model(), FULL)
    chosen = choice.Choice(learner, Scoring())
    chosen.look(lambda: False)
    first = chosen.weights
    with torch.no_grad():
        next(learner.average.parameters()).add_(1)
    chosen.look(lambda: False)
    assert any(not torch.equal(first[name], value) for name, value in chosen.weights.items())
