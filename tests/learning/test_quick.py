import subprocess
import sys

import numpy as np
import pytest
import torch

from napari_unet.errors import TrainingError
from napari_unet.learning.evaluation import dice
from napari_unet.learning.learner import Learner
from napari_unet.learning.quick import FIRST_LOOK, GENERAL, blank_checkpoint, full_sized, quick_settings, starting_point
from napari_unet.learning.samples import TrainingRegion
from napari_unet.learning.trainer import Trainer, TrainSettings
from napari_unet.model.checkpoint import default_classes, load_checkpoint
from napari_unet.model.heads import FRESH_HEAD


def test_two_strokes_give_a_sensible_result():
    y, x = np.mgrid[:128, :128]
    truth = ((y // 32 + x // 32) % 2).astype(np.int32)
    rng = np.random.default_rng(0)
    image = np.where(truth, np.sin(y * 1.5), 0.3 * rng.standard_normal(truth.shape)).astype(np.float32)
    known = np.zeros(truth.shape, bool)
    known[4:28, 14:18] = known[40:44, 6:28] = True  # one stroke on the plain ground, one on the stripes
    crop = TrainingRegion(image[None, None], truth[None], known[None], None, "a", 0, (0, 0, 0))
    checkpoint = blank_checkpoint(default_classes(2), 2, 1, "mine")
    settings = quick_settings(TrainSettings(threads=1, device="cpu", steps=35))
    trainer = Trainer(checkpoint, [crop], settings=settings)
    list(trainer.run())
    with torch.no_grad():
        labels = trainer.result.checkpoint.network(torch.from_numpy(image[None, None])).argmax(1)[0].numpy()
    assert dice(truth, labels, ~known) > 0.8


def test_a_model_needs_two_classes():
    with pytest.raises(TrainingError, match="1 classes"):
        blank_checkpoint(default_classes(1), 2, 1, "mine")


def test_the_budget_stays():
    settings = quick_settings(TrainSettings(steps=5, seed=4))
    assert (settings.steps, settings.seed) == (5, 4)
    assert settings.new_rate > TrainSettings().new_rate


def test_the_panel_needs_no_torch():
    code = (
        "import sys; import napari_unet.learning.truth, napari_unet.learning.samples, napari_unet.learning.trainer,"
        " napari_unet.learning.quick, napari_unet.learning.evaluation; sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_whole_round_of_a_first_look_starts_with_a_network_that_sees_further():
    small = blank_checkpoint(default_classes(3), 2, 4, "mine")
    full = full_sized(small, seed=3)
    assert full.header.output == small.header.output and full.header.in_channels == 4
    assert full.geometry.halo > small.geometry.halo
    assert FIRST_LOOK not in full.header.provenance
    assert full_sized(full) is full
    again = full_sized(small, seed=3)
    for a, b in zip(full.network.parameters(), again.network.parameters(), strict=True):
        assert (a == b).all()


@pytest.mark.parametrize(("ndim", "channels"), [(2, 1), (2, 3), (3, 1)])
def test_a_whole_round_starts_with_the_general_parent(ndim, channels):
    small = blank_checkpoint(default_classes(3), ndim, channels, "mine")
    full = full_sized(small)
    assert full.header.output == small.header.output and full.header.normalization == small.header.normalization
    assert full.header.name == "mine" and full.header.provenance == {GENERAL: f"start-{ndim}d", FRESH_HEAD: True}
    assert full.header.in_channels == channels == full.network.config.in_channels
    general = load_checkpoint(f"start-{ndim}d").network.state_dict()
    same = [name for name, value in full.network.state_dict().items() if value.equal(general[name])]
    folded = ndim == 2 and channels == 1
    assert len(same) >= len(general) - 2 - folded, "all but the head, and the first layer of a gray network"
    assert full_sized(full) is full


def test_under_a_fresh_head_all_layers_learn_fast_once():
    full = full_sized(blank_checkpoint(default_classes(2), 2, 1, "mine"))
    settings = TrainSettings(steps=2, threads=1, device="cpu", batch=1)
    rates = {group["full_rate"] for group in Learner(full, settings).optimizer.param_groups}
    assert rates == {settings.new_rate}
    labels = np.indices((64, 64))[1][None] // 32
    crop = TrainingRegion(labels[None].astype(np.float32), labels, labels >= 0, None, "a", 0, (0, 0, 0))
    trainer = Trainer(full, [crop], (), settings)
    list(trainer.run())
    child = trainer.result.checkpoint
    assert FRESH_HEAD not in child.header.provenance
    rates = {group["full_rate"] for group in Learner(child, settings).optimizer.param_groups}
    assert rates == {settings.encoder_rate, settings.rate}


def test_a_refit_of_a_first_look_starts_afresh_and_any_other_goes_on():
    small = blank_checkpoint(default_classes(3), 2, 4, "mine")
    again = starting_point(small, quick=True, seed=5)
    assert again.header.config == small.header.config and again.header.provenance[FIRST_LOOK]
    weights = [next(iter(c.network.parameters())) for c in (small, again)]
    assert not (weights[0] == weights[1]).all()
    full = starting_point(small, quick=False)
    assert full.geometry.halo > small.geometry.halo
    assert starting_point(full, quick=True) is full and starting_point(full, quick=False) is full
