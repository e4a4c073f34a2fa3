"""What a foreign file does not say, said once and remembered for exactly its weights."""

from __future__ import annotations

import json

import pytest
import torch

from napari_unet.model.checkpoint import load_checkpoint
from napari_unet.model.families.residual3d import ResidualUNet


@pytest.fixture
def foreign(tmp_path):
    torch.manual_seed(0)
    path = tmp_path / "best_checkpoint.pytorch"
    torch.save({"model_state_dict": ResidualUNet(2, 1, 2, [4, 8], "gcr", 4).state_dict()}, path)
    return path


def test_what_is_said_is_remembered(call, foreign):
    assert "softmax (assumed)" in call("inspect", foreign).out
    says = ["--say", "normalization=percentile:2:98", "--say", "activation=sigmoid", "--say", "classes=ground,cell"]
    said = call("inspect", foreign, *says, "--say", "voxel_size=0.5,0.25", "--say", "argument.num_groups=4")
    assert said.code == 0
    assert "sigmoid (said by the user)" in said.out
    header = load_checkpoint(foreign).header
    assert (header.normalization.low, header.normalization.high) == (2.0, 98.0)
    assert (header.output.activation, header.output.channels) == ("sigmoid", ("ground", "cell"))
    assert header.voxel_size == (0.5, 0.25)
    assert header.blueprint.arguments["groups"] == 4
    assert call("inspect", foreign, "--say", "activation=none").code == 0
    again = load_checkpoint(foreign).header
    assert (again.output.activation, again.voxel_size) == ("none", (0.5, 0.25))


@pytest.mark.parametrize(
    "text",
    [
        "normalization=magic",
        "normalization=percentile:9:1",
        "normalization=fixed:0:0",
        "activation=tanh",
        "classes=one",
        "voxel_size=1",
        "thing=1",
        "argument.num_groups=1000000000",
        "channels=interior,edge",
        "axes=XYZ",
        "axes=XX",
        "no value",
    ],
)
def test_what_does_not_fit_is_refused_and_not_remembered(call, foreign, text):
    said = call("inspect", foreign, "--say", text)
    assert said.code == 2
    assert len(said.err.strip().splitlines()) == 1
    assert [path.name for path in foreign.parent.iterdir()] == [foreign.name]


def test_tiles_and_what_can_be_said_are_told(call, foreign, models):
    said = call("inspect", foreign)
    assert "a normalization layer takes mean and deviation" in " ".join(said.out.split())
    assert "--say" in said.err
    ours = call("inspect", models["classes"])
    assert "exact: the same scores" in ours.out and ours.err == ""


def test_objects_are_said_by_their_channels(call, foreign):
    assert call("inspect", foreign, "--say", "channels=interior,boundary").code == 0
    output = load_checkpoint(foreign).header.output
    assert output.instances and output.channels == ("interior", "boundary")
    assert call("inspect", foreign, "--say", "classes=ground,cell").code == 0
    assert load_checkpoint(foreign).header.output.kind == "classes"


def test_answers_hold_for_these_weights_only(call, foreign):
    assert call("inspect", foreign, "--say", "activation=sigmoid").code == 0
    torch.manual_seed(1)
    torch.save({"model_state_dict": ResidualUNet(2, 1, 2, [4, 8], "gcr", 4).state_dict()}, foreign)
    said = call("inspect", foreign)
    assert said.code == 2
    assert "other weights" in said.err
    assert call("inspect", foreign, "--say", "activation=none").code == 0


@pytest.mark.parametrize("content", ["{", "[]", '{"schema": 2}', json.dumps({"schema": 1, "weights": "x", "odd": 1})])
def test_damaged_answers_are_named(call, foreign, content):
    foreign.with_name(foreign.name + ".napari-unet.json").write_text(content)
    said = call("inspect", foreign)
    assert said.code == 2
    assert ".napari-unet.json" in said.err


def test_our_own_files_say_everything_themselves(call, models):
    assert call("inspect", models["classes"], "--say", "activation=none").code == 2
