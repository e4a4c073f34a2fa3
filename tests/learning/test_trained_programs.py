"""Networks that come as programs learn, except ONNX graphs."""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from napari_unet.errors import TrainingError
from napari_unet.learning.samples import TrainingRegion
from napari_unet.learning.trainer import Trainer, TrainSettings
from napari_unet.model import consent
from napari_unet.model.checkpoint import Checkpoint, load_checkpoint


@pytest.fixture
def script(tmp_path, monkeypatch):
    """A traced network with a batch norm whose statistics are not those of a new one."""
    monkeypatch.setattr(consent, "_named", set())
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(8)
    norm.running_mean.fill_(0.2)
    network = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), norm, nn.ReLU(), nn.Conv2d(8, 2, 1)).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.trace(network, torch.zeros(1, 1, 16, 16)).save(str(tmp_path / "net.ts"))
    sha256 = hashlib.sha256((tmp_path / "net.ts").read_bytes()).hexdigest()
    return load_checkpoint(tmp_path / "net.ts", run_code=sha256)


def square():
    labels = np.zeros((1, 64, 64), np.int32)
    labels[..., 16:40, 20:50] = 1
    image = (labels + 0.2 * np.random.default_rng(0).standard_normal((1, 1, 64, 64))).astype(np.float32)
    return TrainingRegion(image, labels, np.ones(labels.shape, bool), None, "square", 0, (0, 0, 0))


def test_a_traced_network_learns_with_its_statistics_frozen(script, tmp_path):
    settings = TrainSettings(steps=30, threads=1, device="cpu", batch=1, patch=(1, 64, 64), rate=1e-2)
    trainer = Trainer(script, [square()], settings=settings)
    assert list(trainer.run())[-1].step == 30
    tuned = trainer.result.checkpoint
    before, after = script.network.state_dict(), tuned.network.state_dict()
    moved = {name.rpartition("/")[2] for name in before if not torch.equal(before[name], after[name])}
    assert moved == {"weight", "bias"}
    image = torch.from_numpy(square().image)
    with torch.inference_mode():
        found = tuned.network(image).argmax(1)
    assert (found.numpy()[0] == square().labels[0]).mean() > 0.9
    again = load_checkpoint(tuned.save(tmp_path / "tuned"))
    with torch.inference_mode():
        assert torch.allclose(again.network(image), tuned.network(image), atol=1e-6)
    assert again.header.program == script.header.program


def test_an_onnx_graph_does_not(script):
    program = replace(script.header.program, kind="onnx")
    graph = Checkpoint(script.network, replace(script.header, program=program))
    with pytest.raises(TrainingError, match="ONNX"):
        Trainer(graph, [square()], settings=TrainSettings(steps=1, threads=1, device="cpu"))
