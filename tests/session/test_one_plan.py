"""A job makes its plan once, and what it keeps is gone on with only where it would come out the same."""

from __future__ import annotations

import numpy as np
import pytest

from napari_unet.image.boxes import whole
from napari_unet.image.source import ImageSource
from napari_unet.inference.network import portioned
from napari_unet.inference.predictor import Predictor
from napari_unet.model.checkpoint import Checkpoint, load_checkpoint
from napari_unet.model.config import UNetConfig
from napari_unet.model.unet import UNet
from napari_unet.session.tasks import SegmentRequest

from .test_going_on import many, run


@pytest.fixture
def shrinking(monkeypatch):
    """Let every look at the free memory find less."""
    free = [64 * 10**6]

    def less(device):
        free[0] = max(free[0] // 8, 10**5)
        return free[0]

    monkeypatch.setattr(portioned, "free_on", less)
    return free


def predictors(monkeypatch, **options):
    monkeypatch.setattr(
        "napari_unet.session.tasks._predictor",
        lambda checkpoint, modified, device, precision: Predictor(
            load_checkpoint(checkpoint), device="cpu", precision="float32", threads=1, **options
        ),
    )


def test_memory_that_shrinks_meanwhile_leaves_the_plan(model_path, shrinking, monkeypatch):
    predictors(monkeypatch)
    source = ImageSource.from_array(many(), "YX")
    request = SegmentRequest(str(model_path("instances")), source)
    labels, final, result = run(request)
    assert result.frames == ((0, whole((1, 288, 288))),)
    assert final == [whole((1, 288, 288))]
    assert labels.any()


def test_plans_of_one_job_agree(model_path, shrinking):
    source = ImageSource.from_array(np.zeros((512, 4096), np.float32), "YX")
    predictor = Predictor(load_checkpoint(str(model_path("instances"))), "cpu", "float32", threads=1)
    one = predictor.for_job()
    assert one.plan(source) == one.plan(source) == one.for_job().plan(source)
    assert predictor.plan(source) != one.plan(source)


def test_blended_tiles_of_a_part_are_not_gone_on_with(tmp_path, monkeypatch):
    predictors(monkeypatch, tile=32)
    network = UNet(UNetConfig(features=(4, 8), out_channels=1, norm="instance")).eval()
    checkpoint = Checkpoint.from_module(network, ndim=2, in_channels=1, out_channels=1, name="blended")
    path = tmp_path / "blended.safetensors"
    checkpoint.save(path)
    source = ImageSource.from_array(many(), "YX")

    def kept(name, **options):
        segment_request = SegmentRequest(str(path), source, scores=str(tmp_path / name), **options)
        run(segment_request)
        return np.load(tmp_path / name).copy()

    expected = kept("whole.npy")
    kept("part.npy", view=(0, (slice(0, 1), slice(0, 100), slice(0, 100))), only_view=True)
    np.testing.assert_array_equal(kept("part.npy"), expected)
