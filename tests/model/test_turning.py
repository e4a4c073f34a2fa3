"""A 3D network that learned from volumes with their axes in another order."""

from __future__ import annotations

import pytest
import torch

from napari_unet.errors import CheckpointError
from napari_unet.model.answers import Answers
from napari_unet.model.asking import subject_of, write_answers
from napari_unet.model.checkpoint import load_checkpoint
from napari_unet.model.families.residual3d import ResidualUNet
from napari_unet.model.returning import write_original


def write(path, ndim=3):
    torch.manual_seed(0)
    network = ResidualUNet(ndim, 1, 2, [4, 8], "gcr", 8).eval()
    torch.save({"model_state_dict": network.state_dict()}, path)
    return network


@pytest.mark.parametrize("axes", ["XYZ", "YZX"])
def test_turned_kernels_give_the_turned_scores_and_go_back(tmp_path, axes):
    network = write(tmp_path / "best.pytorch")
    subject = subject_of(tmp_path / "best.pytorch")
    write_answers(subject.path, Answers(subject.digest, axes=axes))
    opened = load_checkpoint(tmp_path / "best.pytorch")
    image = torch.rand(1, 1, 8, 16, 24)  # Z, Y, X
    there = (0, 1, *(2 + "ZYX".index(letter) for letter in axes))
    back = (0, 1, *(2 + axes.index(letter) for letter in "ZYX"))
    with torch.no_grad():
        assert torch.allclose(opened.network(image), network(image.permute(there)).permute(back), atol=1e-5)
    again = load_checkpoint(opened.save(tmp_path / "ours.safetensors"))
    assert torch.equal(again.network(image), opened.network(image))
    write_original(again, tmp_path / "given.pytorch")
    given = torch.load(tmp_path / "given.pytorch", weights_only=True)["model_state_dict"]
    assert all(torch.equal(given[name], tensor) for name, tensor in network.state_dict().items())


def test_a_network_in_two_dimensions_has_nothing_to_turn(tmp_path):
    write(tmp_path / "best.pytorch", ndim=2)
    subject = subject_of(tmp_path / "best.pytorch")
    with pytest.raises(CheckpointError, match="only 3D networks"):
        subject.open(Answers(subject.digest, axes="XYZ"))


def test_axes_that_are_treated_differently_cannot_be_turned(tmp_path):
    from napari_unet.model.checkpoint import Checkpoint, default_classes
    from napari_unet.model.config import UNetConfig
    from napari_unet.model.families import torchem

    config = UNetConfig(
        ndim=3,
        features=(4, 8),
        pooling=((1, 2, 2),),
        kernels=((1, 3, 3), (3, 3, 3)),
        norm="instance",
        affine=False,
        order="nca",
        upsampling="interpolate",
        project=True,
        bias=True,
    )
    ours = Checkpoint.from_config(config, default_classes(2), name="x")
    torch.save(dict(torchem.pack(ours)), tmp_path / "best.pt")
    subject = subject_of(tmp_path / "best.pt")
    assert subject.open().header.config.poolings == ((1, 2, 2),)
    with pytest.raises(CheckpointError, match="treats its axes differently"):
        subject.open(Answers(subject.digest, axes="XYZ"))
