"""What a parent can do is rehearsed while something new is learned."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.learning.test_trainer import instances_model, region

from napari_unet.errors import CheckpointError
from napari_unet.learning.learner import Learner
from napari_unet.learning.rehearsal import SIDE, Rehearsal, Rehearsed, can_rehearse, generated_patches
from napari_unet.learning.sampler import Sampler
from napari_unet.learning.trainer import Trainer, TrainSettings
from napari_unet.model.checkpoint import default_classes

SHORT = TrainSettings(steps=12, threads=1, device="cpu", batch=2)


@pytest.fixture
def parent():
    """A network that found out what nuclei on generated images look like."""
    checkpoint = instances_model()
    checkpoint.header = replace(checkpoint.header, rehearsal="nuclei_2d")
    for module in checkpoint.network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.num_batches_tracked += 1
    return checkpoint


def divergence(parent, child):
    """Mean difference of the scores on generated images that no training saw."""
    patches = torch.from_numpy(generated_patches(parent.header, 1, seed=99))
    with torch.no_grad():
        scores = [c.network.eval()(patches).softmax(1) for c in (parent, child)]
    return float((scores[0] - scores[1]).abs().mean())


def test_patches_are_normalized_varied_and_repeatable(parent):
    patches = generated_patches(parent.header, 2, seed=3)
    assert patches.shape == (8, 1, SIDE, SIDE) and patches.dtype == np.float32
    assert -0.5 < np.median(patches) < 0.6 and patches.max() > 0.8
    np.testing.assert_array_equal(patches, generated_patches(parent.header, 2, seed=3))
    assert not np.array_equal(patches[:4], patches[4:])


def test_images_and_answers_are_turned_alike(parent):
    learner = Learner(parent, SHORT)
    rehearsal = Rehearsal(learner, 1, seed=0)
    drawn = rehearsal.draw(6, np.random.default_rng(0))
    pool = rehearsal._pool
    for image, logits in zip(drawn.image, drawn.logits, strict=True):
        turned = [
            (np.rot90(i, k, (-2, -1))[..., ::s], np.rot90(a, k, (-2, -1))[..., ::s])
            for i, a in zip(pool.image, pool.logits, strict=True)
            for k in range(4)
            for s in (1, -1)
        ]
        assert any(np.array_equal(image, i) and np.array_equal(logits, a) for i, a in turned)


def test_a_network_that_rehearses_forgets_less(parent):
    crops = [region(seed, "instances") for seed in (0, 1)]
    children = []
    for weight in (0.0, 5.0):
        trainer = Trainer(parent, crops, (), replace(SHORT, rehearsal=weight, anchor=0.0, rate=3e-3, encoder_rate=3e-3))
        list(trainer.run())
        children.append(trainer.result.checkpoint)
    forgetful, rehearsed = (divergence(parent, child) for child in children)
    assert rehearsed < 0.7 * forgetful


def test_only_models_that_say_so_rehearse(parent):
    assert can_rehearse(parent.header)
    assert not can_rehearse(replace(parent.header, rehearsal=""))
    assert not can_rehearse(parent.with_classes(default_classes(3)).header), "its head is fresh"
    with pytest.raises(CheckpointError, match="rehearses"):
        replace(parent.header, rehearsal="cats")


def test_what_the_parent_knows_already_needs_no_rehearsal(parent):
    learner = Learner(parent, SHORT)
    crop = Sampler([region(0, "instances")], parent.header.output, 2).draw(2, (1, SIDE, SIDE), np.random.default_rng(0))
    rehearsed = Rehearsal(learner, 1, seed=0).draw(1, np.random.default_rng(0))
    off = Rehearsed(rehearsed.image, -rehearsed.logits)

    def loss(trust, answers):
        other = Learner(parent, replace(SHORT, anchor=0.0))
        other.hold_to_parent(trust)
        return other.step(crop, 0.0, rehearsed=answers)

    assert loss(1.0, off) == pytest.approx(loss(1.0, rehearsed))
    assert loss(0.0, off) > loss(0.5, off) > loss(1.0, off)
