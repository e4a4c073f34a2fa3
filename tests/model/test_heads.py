"""Classes of networks that are not our own U-Net: added, removed and renamed where the last layer allows it."""

from __future__ import annotations

import pytest
import torch

from napari_unet.errors import CheckpointError
from napari_unet.model.checkpoint import load_checkpoint
from napari_unet.model.families.residual3d import ResidualUNet
from napari_unet.model.header import COLORS, ClassInfo


def named(*names):
    return tuple(ClassInfo(name, COLORS[index]) for index, name in enumerate(names))


@pytest.fixture
def parent(tmp_path):
    def opened(channels):
        torch.manual_seed(0)
        state = ResidualUNet(2, 1, channels, [4, 8], "gcr", 4).state_dict()
        torch.save({"model_state_dict": state}, tmp_path / "best.pytorch")
        return load_checkpoint(tmp_path / "best.pytorch")

    return opened


@pytest.fixture
def values():
    return torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(1))


def test_kept_classes_keep_their_scores(parent, values, tmp_path):
    three = parent(3).with_classes(named("background", "cell", "rim"))
    before = three.network(values)
    more = three.with_classes(named("background", "cell", "rim", "debris"))
    assert more.header.out_channels == more.header.blueprint.arguments["out_channels"] == 4
    assert torch.allclose(more.network(values)[:, :3], before, atol=1e-6)
    assert bool((more.network(values).argmax(1) != 3).all())  # a new class must be learned before it shows
    fewer = more.with_classes(named("background", "rim"))
    assert torch.allclose(fewer.network(values), before[:, [0, 2]], atol=1e-6)
    fewer.save(tmp_path / "fewer.safetensors")
    again = load_checkpoint(tmp_path / "fewer.safetensors")
    assert torch.equal(again.network(values), fewer.network(values))
    assert [info.name for info in again.header.output.classes] == ["background", "rim"]


def test_as_many_others_are_mixed_from_kept_and_fresh_ones(parent, values):
    three = parent(3).with_classes(named("background", "cell", "rim"))
    other = three.with_classes(named("background", "rim", "debris"))
    before, after = three.network(values), other.network(values)
    assert torch.allclose(after[:, :2], before[:, [0, 2]], atol=1e-6) and not torch.equal(after[:, 2], before[:, 1])


def test_a_foreground_becomes_two_classes_with_the_same_scores(parent, values):
    one = parent(1)
    two = one.with_classes(named("background", "cell"))
    assert torch.allclose(two.network(values).softmax(1)[:, 1:], one.network(values).sigmoid(), atol=1e-6)


def test_renaming_changes_no_weight(parent, values):
    three = parent(3)
    renamed = three.with_classes(named("background", "cell", "rim"))
    assert torch.equal(renamed.network(values), three.network(values))
    assert renamed.header.output.channels == ("background", "cell", "rim")
    assert renamed.header.output.activation == three.header.output.activation


def test_a_network_that_makes_its_scores_itself_says_so(parent):
    checkpoint = parent(3)
    object.__setattr__(checkpoint.header.output, "activation", "none")
    with pytest.raises(CheckpointError, match="made by the network itself"):
        checkpoint.with_classes(named("a", "b", "c", "d"))
