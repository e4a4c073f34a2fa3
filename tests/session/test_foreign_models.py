"""A network that is no U-Net of ours goes through the whole loop: opened, run, tuned, kept and given back."""

from __future__ import annotations

from dataclasses import replace

import torch
from tests.session.conftest import blobs
from tests.session.test_session import box

from napari_unet.image.source import ImageSource
from napari_unet.model.checkpoint import load_checkpoint
from napari_unet.model.families.residual3d import ResidualUNet
from napari_unet.model.returning import write_original


def test_a_residual_network_of_another_program_learns_and_returns(session, tmp_path) -> None:
    torch.manual_seed(0)
    parent = ResidualUNet(2, 1, 2, [4, 8], "gcr", 8)
    torch.save({"model_state_dict": parent.state_dict(), "num_epochs": 3}, tmp_path / "best_checkpoint.pytorch")
    image, _ = blobs()
    image_id = session.add_image(ImageSource.from_array(image, axes="YX", name="blobs"))
    session.select_model(tmp_path / "best_checkpoint.pytorch")
    assert session.model.header.blueprint.family == "pytorch-3dunet"
    session.segment(image_id)
    assert session.labels_array(image_id).shape == image.shape
    session.settings = replace(session.settings, first_steps=2)
    session.accept_box(image_id, 0, box(0, 48, 0, 96))
    session.refit()
    session.keep()
    assert not [message for message in session.messages if message[0] == "error"]
    header = session.model.header
    assert header.parent is not None
    assert header.origin.container == ("model_state_dict",)

    tuned = load_checkpoint(session.model.path)
    write_original(tuned, tmp_path / "tuned.pytorch")
    own = ResidualUNet(2, 1, 2, [4, 8], "gcr", 8).eval()
    own.load_state_dict(torch.load(tmp_path / "tuned.pytorch", weights_only=True)["model_state_dict"])
    values = torch.randn(1, 1, 16, 16)
    assert torch.equal(own(values), tuned.network(values))
    assert any(not torch.equal(a, b) for a, b in zip(own.parameters(), parent.parameters(), strict=True))


def test_classes_of_a_network_of_another_program_are_added_and_removed(session, tmp_path) -> None:
    torch.manual_seed(0)
    state = ResidualUNet(2, 1, 2, [4, 8], "gcr", 8).state_dict()
    torch.save({"model_state_dict": state}, tmp_path / "best_checkpoint.pytorch")
    session.select_model(tmp_path / "best_checkpoint.pytorch")
    session.add_class("debris")
    assert [info.name for info in session.model.header.output.classes] == ["background", "class 1", "debris"]
    session.remove_class(1)
    header = session.model.header
    assert [info.name for info in header.output.classes] == ["background", "debris"]
    assert header.blueprint.arguments["out_channels"] == 2
    assert not [message for message in session.messages if message[0] == "error"]
