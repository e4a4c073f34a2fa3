"""How far a parent is worth holding to."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.learning.test_trainer import instances_model

from napari_unet.learning.learner import CLASSES_ANCHOR, Learner
from napari_unet.learning.sampler import Sampler
from napari_unet.learning.samples import TrainingRegion
from napari_unet.learning.scoring import trust_in
from napari_unet.learning.settings import TrainSettings
from napari_unet.learning.trainer import Trainer
from napari_unet.learning.uncorrected import uncorrected
from napari_unet.model.checkpoint import Checkpoint, default_classes
from napari_unet.model.config import UNetConfig

SETTINGS = TrainSettings(steps=20, threads=1, device="cpu", augment=False)


@pytest.fixture
def parent():
    """A network that has learned to find what is brighter than 0."""
    checkpoint = Checkpoint.from_config(UNetConfig(features=(8, 16)), default_classes(2), name="bright")
    trainer = Trainer(checkpoint, [all_known(image())], (), replace(SETTINGS, steps=80))
    list(trainer.run())
    return trainer.result.checkpoint


def image():
    rows = np.sin(np.arange(160) / 8)[:, None] * np.cos(np.arange(160) / 9)[None]
    return rows.astype(np.float32)[None, None]


def all_known(pixels):
    labels = (pixels[0] > 0).astype(np.int64)
    return TrainingRegion(pixels, labels, np.ones(labels.shape, bool), None, "a", 0, (0, 0, 0))


def errors_alone(pixels):
    """A crop in which the person painted nothing but what the parent has wrong."""
    shown = (pixels[0] > 0).astype(np.int64)
    labels, known = shown.copy(), np.zeros(shown.shape, bool)
    known[0, 20:24, 10:60] = known[0, 90:94, 60:140] = True
    labels[known] = 1 - shown[known]
    return TrainingRegion(pixels, labels, known, np.where(known, np.float32(3), np.float32(1)), "a", 0, (0, 0, 0))


def trust(parent, region):
    sampler = Sampler([region], parent.header.output, 2, augment=False)
    batches = [sampler.draw(4, (1, 64, 64), np.random.default_rng(n)) for n in range(3)]
    return trust_in(Learner(parent, SETTINGS), batches)


def test_a_parent_that_is_right_but_for_what_was_painted_is_worth_holding_to(parent):
    region = errors_alone(image())
    assert trust(parent, region) == 0, "by what is known alone it is always wrong"
    everywhere = np.ones(region.known.shape, bool)
    soft = uncorrected(region.labels, region.known, region.known, everywhere, parent.header.output)
    assert trust(parent, replace(region, soft=soft)) > 0.4


def test_trust_is_that_of_the_parent_also_where_the_round_goes_on(parent, tmp_path):
    region = all_known(image())
    first = Trainer(parent, [region], (), SETTINGS)
    list(first.run(lambda: first._learner.step_count > 5))
    first.save_state(tmp_path / "state.safetensors")
    second = Trainer(parent, [region], (), SETTINGS)
    second.load_state(tmp_path / "state.safetensors")
    with torch.no_grad():
        for value in second._learner.average.parameters():
            value.zero_()  # whatever it has become since
    list(second.run())
    assert first._trust > 0.8 and second._trust == first._trust


def test_of_classes_more_is_held_than_of_objects(parent):
    anchors = []
    for checkpoint in (parent, instances_model()):
        learner = Learner(checkpoint, replace(SETTINGS, from_nothing=False))
        learner.hold_to_parent(0.5)
        anchors.append(learner.anchor)
    assert anchors == pytest.approx([0.5 * CLASSES_ANCHOR * SETTINGS.anchor, 0.5 * SETTINGS.anchor])
