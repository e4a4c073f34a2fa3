"""Packages as others write them: a network of a library, a network in Python, steps around the network, a crop."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import yaml
from torch import nn

from napari_unet.errors import CheckpointError, ConsentNeeded
from napari_unet.model import consent
from napari_unet.model.checkpoint import load_checkpoint

CODE = '''
import torch
from torch import nn

class Valid(nn.Module):
    """Unpadded, so that two voxels at each side are lost."""

    def __init__(self, channels):
        super().__init__()
        self.one = nn.Conv2d(1, channels, 3)
        self.two = nn.Conv2d(channels, 2, 3)

    def forward(self, x):
        return self.two(torch.relu(self.one(x)))
'''


@pytest.fixture(autouse=True)
def nobody_said_yes(tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_UNET_CONFIG", str(tmp_path / "config"))
    monkeypatch.setattr(consent, "_named", set())


def open_asked(folder):
    with pytest.raises(ConsentNeeded) as asked:
        load_checkpoint(folder)
    return load_checkpoint(folder, run_code=asked.value.sha256)


def test_a_network_in_python_with_steps_around_it_in_version_4(tmp_path):
    space: dict[str, object] = {}
    exec(CODE, space)
    torch.manual_seed(0)
    network = space["Valid"](4).eval()
    torch.save(network.state_dict(), tmp_path / "weights.pt")
    (tmp_path / "net.py").write_text(CODE)
    given = np.random.default_rng(0).random((1, 1, 40, 48)).astype(np.float32) * 300
    with torch.inference_mode():
        ready = torch.from_numpy(given / 100 - 1).clamp(-0.5, 0.5) * 2
        np.save(tmp_path / "out.npy", torch.sigmoid(network(ready)).numpy())
    np.save(tmp_path / "in.npy", given)
    steps = [
        {"name": "scale_linear", "kwargs": {"gain": 0.01, "offset": -1.0, "axes": "yx"}},
        {"name": "clip", "kwargs": {"min": -0.5, "max": 0.5}},
        {"name": "scale_linear", "kwargs": {"gain": 2.0, "offset": 0.0}},
    ]
    shape = {"reference_tensor": "raw", "scale": [1, 0, 1, 1], "offset": [0, 1, -2, -2]}
    description = {
        "format_version": "0.4.10",
        "type": "model",
        "name": "valid",
        "inputs": [
            {
                "name": "raw",
                "axes": "bcyx",
                "shape": {"min": [1, 1, 8, 8], "step": [0, 0, 4, 4]},
                "preprocessing": steps,
            }
        ],
        "outputs": [{"name": "s", "axes": "bcyx", "shape": shape, "postprocessing": [{"name": "sigmoid"}]}],
        "test_inputs": ["in.npy"],
        "test_outputs": ["out.npy"],
        "weights": {
            "pytorch_state_dict": {"source": "weights.pt", "architecture": "net.py:Valid", "kwargs": {"channels": 4}}
        },
    }
    (tmp_path / "rdf.yaml").write_text(yaml.safe_dump(description))
    checkpoint = open_asked(tmp_path)
    program = checkpoint.header.program
    assert program.kind == "python" and program.sizes.crop == (2, 2) and program.before == (("scale", 2.0, 0.0),)
    assert checkpoint.header.normalization.method == "fixed"
    assert checkpoint.header.normalization.clip == (-0.5, 0.5)
    assert checkpoint.header.output.kind == "instances"  # two independent channels without names
    assert "reproduced" in checkpoint.header.provenance["checked"]
    assert checkpoint.network(torch.zeros(1, 1, 31, 5)).shape == (1, 2, 31, 5)
    saved = checkpoint.save(tmp_path / "ours")
    assert torch.equal(load_checkpoint(saved).network(ready), checkpoint.network(ready))


def library(tmp_path, **changes):
    torch.manual_seed(0)
    arguments = {"in_channels": 1, "out_channels": 1, "kernel_size": 3, "padding": 1}
    network = nn.Conv2d(**arguments)
    torch.save(network.state_dict(), tmp_path / "weights.pt")
    axes = [{"type": "batch"}, {"type": "channel", "channel_names": ["nuclei"]}]
    space = [{"type": "space", "id": name, "size": {"min": 4, "step": 1}} for name in "yx"]
    result = [
        {
            "type": "space",
            "id": name,
            "size": {"tensor_id": "raw", "axis_id": name},
            "halo": 1,
            **changes.get("axis", {}),
        }
        for name in "yx"
    ]
    architecture = {"import_from": "torch.nn", "callable": "Conv2d", "kwargs": arguments, **changes.get("code", {})}
    description = {
        "format_version": "0.5.4",
        "type": "model",
        "name": "library",
        "inputs": [{"id": "raw", "axes": [*axes, *space], "preprocessing": changes.get("steps", [])}],
        "outputs": [{"id": "scores", "axes": [*axes, *result], "postprocessing": [{"id": "sigmoid"}]}],
        "weights": {"pytorch_state_dict": {"source": "weights.pt", "architecture": architecture}},
    }
    (tmp_path / "rdf.yaml").write_text(yaml.safe_dump(description))
    return network


def test_a_network_of_a_library_is_called_only_after_a_yes(tmp_path):
    network = library(tmp_path)
    checkpoint = open_asked(tmp_path)
    assert checkpoint.header.program.kind == "library"
    assert checkpoint.header.output.classes[1].name == "nuclei"
    assert "no test values" in checkpoint.header.provenance["checked"]
    image = torch.rand(1, 1, 9, 11)
    assert torch.equal(checkpoint.network(image), network(image))
    ran = tmp_path / "ran"
    library(tmp_path, code={"import_from": "os", "callable": "mkdir", "kwargs": {"path": str(ran)}})
    with pytest.raises(ConsentNeeded):
        load_checkpoint(tmp_path)
    assert not ran.exists()
    library(tmp_path, code={"import_from": "no_such_library"})
    with pytest.raises(CheckpointError, match="not installed"):
        open_asked(tmp_path)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"axis": {"scale": 2.0}}, "another scale"),
        ({"steps": [{"id": "make_coffee"}]}, "make_coffee"),
        ({"steps": [{"id": "zero_mean_unit_variance", "kwargs": {"axes": ["x"]}}]}, "along y"),
        ({"steps": [{"id": "clip", "kwargs": {"min": 0}}, {"id": "scale_range", "kwargs": {}}]}, "scale_range"),
        ({"steps": [{"id": "ensure_dtype", "kwargs": {"dtype": "uint8"}}]}, "ensure_dtype"),
    ],
)
def test_what_cannot_be_expressed_is_refused(tmp_path, changes, word):
    library(tmp_path, **changes)
    with pytest.raises(CheckpointError, match=word):
        open_asked(tmp_path)
