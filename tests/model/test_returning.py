"""Weights in the format they came in: files, folders, and nothing outside of them."""

import json
from dataclasses import replace

import pytest
import torch

from napari_unet.errors import CheckpointError, OutputError
from napari_unet.model.checkpoint import Checkpoint, load_checkpoint
from napari_unet.model.families.residual3d import ResidualUNet
from napari_unet.model.header import ClassInfo
from napari_unet.model.origin import Origin
from napari_unet.model.returning import write_original


@pytest.fixture
def network():
    torch.manual_seed(0)
    return ResidualUNet(2, 1, 2, [4, 8], "gcr", 8).eval()


def test_a_file_keeps_its_containers_and_prefix(network, tmp_path):
    state = {f"module.{name}": tensor for name, tensor in network.state_dict().items()}
    torch.save(
        {"model_state_dict": state, "num_epochs": 7, "optimizer_state_dict": {"state": {}}}, tmp_path / "a.pytorch"
    )
    checkpoint = load_checkpoint(load_checkpoint(tmp_path / "a.pytorch").save(tmp_path / "own"))
    notes = write_original(checkpoint, tmp_path / "b.pytorch")
    content = torch.load(tmp_path / "b.pytorch", weights_only=True)
    assert set(content) == {"model_state_dict", "num_epochs"}
    assert content["num_epochs"] == 7
    assert {name: tuple(t.shape) for name, t in content["model_state_dict"].items()} == {
        name: tuple(t.shape) for name, t in state.items()
    }
    assert all(torch.equal(content["model_state_dict"][name], state[name]) for name in state)
    assert "pytorch-3dunet" in notes[0]


def test_a_folder_becomes_a_folder(network, tmp_path):
    (tmp_path / "model").mkdir()
    torch.save(network.state_dict(), tmp_path / "model" / "best_checkpoint.pytorch")
    document = {"model": {"name": "ResidualUNet2D", "out_channels": 2}}
    (tmp_path / "model" / "config_train.yml").write_text(json.dumps(document))
    checkpoint = load_checkpoint(tmp_path / "model")
    write_original(checkpoint, tmp_path / "back")
    assert json.loads((tmp_path / "back" / "config_train.yml").read_text()) == document
    image = torch.randn(1, 1, 16, 16)
    assert torch.equal(load_checkpoint(tmp_path / "back").network(image), network(image))
    assert {path.name for path in tmp_path.iterdir()} == {"model", "back"}
    with pytest.raises(OutputError, match="exists"):
        write_original(checkpoint, tmp_path / "back")


def test_what_never_was_foreign_has_no_other_format(small, tmp_path):
    with pytest.raises(CheckpointError, match="did not come from another program"):
        write_original(small, tmp_path / "x.pth")
    assert list(tmp_path.iterdir()) == []


def test_other_classes_are_written_with_their_number(tmp_path):
    from napari_unet.model.config import UNetConfig
    from napari_unet.model.families import torchem

    config = UNetConfig(features=(4, 8), order="nca", upsampling="interpolate", project=True, bias=True)
    made = Checkpoint.from_config(config, tuple(ClassInfo(n, "#000000") for n in ("background", "a")), name="x")
    made.header = replace(made.header, origin=Origin("torch-em"))
    kwargs = {"in_channels": 1, "out_channels": 2, "pooler_impl": torch.nn.MaxPool2d}
    torch.save({"model_state": dict(torchem.pack(made)), "init": {"model_kwargs": kwargs}}, tmp_path / "best.pt")
    names = ("background", "a", "b")
    more = load_checkpoint(tmp_path / "best.pt").with_classes(tuple(ClassInfo(name, "#112233") for name in names))
    write_original(more, tmp_path / "more.pt")
    content = torch.load(tmp_path / "more.pt", weights_only=True)
    assert content["init"]["model_kwargs"] == {"in_channels": 1, "out_channels": 3}
    assert load_checkpoint(tmp_path / "more.pt").header.out_channels == 3


@pytest.mark.parametrize("name", ["../evil.pth", "/etc/evil.pth", "a/../../b", "C:\\evil", "a//b"])
def test_a_header_cannot_name_files_elsewhere(name):
    with pytest.raises(CheckpointError, match="outside"):
        Origin("nnU-Net", file=name)
    with pytest.raises(CheckpointError, match="outside"):
        Origin("nnU-Net", documents={name: {}})
