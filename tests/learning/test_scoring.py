"""What the blocks held back say of a model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.learning.test_trainer import model, region

from napari_unet.learning.learner import Learner
from napari_unet.learning.scoring import Scoring
from napari_unet.learning.settings import TrainSettings

SETTINGS = TrainSettings(steps=1, threads=1, device="cpu")


class Answers(Learner):
    """A learner whose answers are given."""

    def __init__(self, labels):
        super().__init__(model(), SETTINGS)
        self.labels = labels

    def scores(self, image):
        return np.eye(2, dtype=np.float32)[self.labels].transpose(2, 0, 1)


@pytest.fixture
def errors():
    """A crop of which the known quarter was wrong on screen, and the next quarter was left as it was."""
    known = np.zeros((1, 160, 160), bool)
    known[0, :40] = True
    crop = region(known=known)
    soft = np.zeros((2, *known.shape), np.float32)
    soft[0, 0, 40:80], soft[1, 0, 40:80] = crop.labels[0, 40:80] == 0, crop.labels[0, 40:80] == 1
    return replace(crop, soft=soft)


def score(crop, labels):
    return float(np.mean(Scoring([crop], model()).score(Answers(labels), lambda: False)))


def test_who_turns_everything_round_is_no_better_than_who_changes_nothing(errors):
    truth = errors.labels[0]
    parent = truth.copy()
    parent[:40] = 1 - truth[:40]
    assert score(errors, parent) == score(errors, 1 - parent) == 0.5
    assert score(errors, truth) == 1
    alone = replace(errors, soft=None)
    assert score(alone, parent) == 0 and score(alone, 1 - parent) == 1


def test_what_lies_around_a_block_counts_for_nothing(errors):
    weight = np.zeros(errors.known.shape, np.float32)
    weight[0, :60] = 1
    answers = errors.labels[0].copy()
    answers[60:80] = 1 - answers[60:80]
    assert score(replace(errors, weight=weight), answers) == 1
