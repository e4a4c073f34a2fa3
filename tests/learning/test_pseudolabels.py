from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.learning.test_trainer import QUICK, discs, finish, instances_model, model, region

from napari_unet.learning import pseudolabels
from napari_unet.learning.losses import soft_loss
from napari_unet.learning.pseudolabels import PixelClassifier, with_pseudo_labels
from napari_unet.learning.sampler import Sampler
from napari_unet.learning.settings import TrainSettings
from napari_unet.learning.trainer import Trainer

SETTINGS = TrainSettings(steps=300, threads=1, device="cpu")


@pytest.fixture(autouse=True)
def _few_voxels_are_enough(monkeypatch):
    monkeypatch.setattr(pseudolabels, "FEWEST_KNOWN", {2: 2, 3: 2})


def stroked(kind="classes", seed=0):
    """A crop of which two strips are known."""
    known = np.zeros((1, 160, 160), bool)
    known[0, 20:60] = known[0, :, 90:120] = True
    return region(seed, kind, known)


def taught_voxels(crops):
    return sum(np.count_nonzero(crop.soft.sum(0)) for crop in crops if crop.soft is not None)


def test_strokes_tell_what_the_rest_is():
    crop = stroked()
    (taught,) = with_pseudo_labels([crop], model().header, SETTINGS)
    assert taught.soft.shape == (2, 1, 160, 160) and taught.soft.dtype == np.float32
    np.testing.assert_allclose(taught.soft.sum(0), 1, atol=1e-5)
    unknown = ~crop.known
    assert ((taught.soft.argmax(0) == crop.labels)[unknown]).mean() > 0.95


def test_objects_are_taught_as_the_network_answers():
    crop = stroked("instances")
    (taught,) = with_pseudo_labels([crop], instances_model().header, SETTINGS)
    assert taught.soft.shape == (3, 1, 160, 160)
    found = taught.soft.argmax(0) > 0
    assert (found == (crop.labels > 0)).mean() > 0.9


def test_volumes_are_taught_too():
    image, labels = discs(0, (64, 64))
    volume = np.repeat(image, 8, 1)
    known = np.zeros((8, 64, 64), bool)
    known[2:6, :, :40] = True
    crop = replace(region(0), image=volume, labels=np.repeat(labels > 0, 8, 0).astype(np.int32), known=known)
    (taught,) = with_pseudo_labels([crop], model(ndim=3).header, SETTINGS)
    assert ((taught.soft.argmax(0) == crop.labels)[:, :, 40:]).mean() > 0.9


def test_the_same_seed_gives_the_same_labels():
    crops = [stroked(seed=seed) for seed in (0, 1)]
    first, second, other = (
        with_pseudo_labels(crops, model().header, replace(SETTINGS, seed=seed)) for seed in (0, 0, 1)
    )
    for a, b, c in zip(first, second, other, strict=True):
        np.testing.assert_array_equal(a.soft, b.soft)
        assert not np.array_equal(a.soft, c.soft)


def test_no_more_is_filtered_than_the_budget_allows(monkeypatch):
    monkeypatch.setattr(pseudolabels, "MOST_VALUES", {2: 160 * 160 + 1})
    monkeypatch.setattr(pseudolabels, "PIECE", {2: (1, 80, 80)})
    crops = [stroked(seed=seed) for seed in range(4)]
    taught = with_pseudo_labels(crops, model().header, SETTINGS)
    assert taught_voxels(taught) == 5 * 80 * 80
    shorter = with_pseudo_labels(crops, model().header, replace(SETTINGS, steps=150))
    assert taught_voxels(shorter) == 3 * 80 * 80


def test_what_crops_say_already_stays():
    crop = stroked()
    soft = np.zeros((2, *crop.labels.shape), np.float32)
    soft[1, 0, 150, :30] = 0.5
    first, second = with_pseudo_labels([replace(crop, soft=soft), stroked(seed=1)], model().header, SETTINGS)
    np.testing.assert_array_equal(first.soft[:, 0, 150, :30], soft[:, 0, 150, :30])
    assert taught_voxels([first, second]) == 2 * crop.known.size


def test_of_errors_alone_the_classifier_would_make_up_that_all_was_wrong():
    wrong, other = replace(stroked(), mostly_wrong=True), stroked(seed=1)
    assert taught_voxels(with_pseudo_labels([wrong, other], model().header, SETTINGS))
    other.known[0, 0, np.flatnonzero(other.known[0, 0])[0]] = False
    assert not taught_voxels(with_pseudo_labels([wrong, other], model().header, SETTINGS))


def test_many_channels_are_filtered_in_smaller_pieces():
    for ndim, channels in ((2, 1), (2, 3), (2, 40), (3, 1), (3, 5)):
        z, y, x = pseudolabels._piece(ndim, channels)
        assert z * y * x * channels <= pseudolabels.PIECE_VALUES
    crop = stroked()
    crop = replace(crop, image=np.repeat(crop.image, 12, 0))
    (taught,) = with_pseudo_labels([crop], model(12).header, replace(SETTINGS, steps=3000))
    assert taught.soft.any()


def test_a_few_strokes_teach_nothing_more(monkeypatch):
    crop = stroked()
    known = int(crop.known.sum())
    monkeypatch.setattr(pseudolabels, "FEWEST_KNOWN", {2: known})
    assert with_pseudo_labels([crop], model().header, SETTINGS)[0].soft is not None
    monkeypatch.setattr(pseudolabels, "FEWEST_KNOWN", {2: known + 1})
    assert with_pseudo_labels([crop], model().header, SETTINGS)[0].soft is None


def test_one_class_teaches_nothing_more():
    crop = stroked()
    crop.labels[:] = 0
    assert with_pseudo_labels([crop], model().header, SETTINGS)[0].soft is None


def test_stopped_it_leaves_the_crops_as_they_are():
    asked = iter([False, True, True])
    assert with_pseudo_labels([stroked()], model().header, SETTINGS, lambda: next(asked))[0].soft is None


def test_stopped_while_the_classifier_learns_no_further_step_is_made():
    asked = iter([False] * 4 + [True] * 2)  # a piece, three steps; then the classifier and what would follow
    assert with_pseudo_labels([stroked()], model().header, SETTINGS, lambda: next(asked))[0].soft is None
    assert next(asked, None) is None


def test_a_class_that_is_not_known_yet_has_no_score():
    values = np.random.default_rng(0).normal(size=(200, 3)).astype(np.float32)
    scores = PixelClassifier(values, (values[:, 0] > 0) * 2, 4).scores(values)
    assert scores.shape == (200, 4) and not scores[:, [1, 3]].any()
    assert ((scores.argmax(1) == 2) == (values[:, 0] > 0)).mean() > 0.9


@pytest.mark.parametrize("channels", [1, 3])
def test_the_loss_is_the_divergence_from_the_soft_labels(channels):
    torch.manual_seed(0)
    activation = "sigmoid" if channels == 1 else "softmax"
    logits, where = torch.randn(2, channels, 4, 5), torch.rand(2, 4, 5) > 0.5
    foreground = logits.sigmoid()
    own = torch.cat((1 - foreground, foreground), 1) if channels == 1 else logits.softmax(1)
    assert soft_loss(logits, own, where, activation) == pytest.approx(0, abs=1e-6)
    sure = torch.zeros_like(own)
    sure[:, 1] = 1
    expected = -own[:, 1].log()[where].mean()
    assert soft_loss(logits, sure, where, activation) == pytest.approx(float(expected), rel=1e-5)
    assert soft_loss(logits, sure, where & False, activation) == 0


def test_patches_say_where_nothing_is_taught():
    crops = [replace(stroked(), soft=np.full((2, 1, 160, 160), 0.5, np.float32)), stroked(seed=1)]
    batch = Sampler(crops, model().header.output, 2).draw(12, (1, 64, 64), np.random.default_rng(0))
    taught = batch.soft.sum(1).reshape(12, -1).mean(1)
    assert set(taught.round(5)) == {0.0, 1.0}
    assert Sampler(crops[1:], model().header.output, 2).draw(2, (1, 64, 64), np.random.default_rng(0)).soft is None


def test_pseudo_labels_change_what_a_round_learns_and_short_rounds_do_without():
    weights = []
    for teaching, steps in ((1.0, 110), (0.0, 110), (1.0, 12), (0.0, 12)):
        trainer = Trainer(model(), [stroked()], (), replace(QUICK, steps=steps, teaching=teaching, augment=False))
        result, _ = finish(trainer)
        weights.append(torch.cat([p.flatten() for p in result.checkpoint.network.parameters()]))
    assert not torch.equal(weights[0], weights[1])
    assert torch.equal(weights[2], weights[3])
