from __future__ import annotations

import json
import re

import torch

from napari_unet.model.checkpoint import load_checkpoint


def test_inspect_tells_everything_that_is_known(call, models):
    said = call("inspect", models["instances"])
    assert said.code == 0
    for word in (
        "stated by its header",
        "2D U-Net",
        "4-8",
        "CYX",
        "interior",
        "percentiles 1 to 99.8",
        "halo",
        "SHA-256",
    ):
        assert word in said.out, word


def test_inspect_as_json(call, models):
    said = call("inspect", models["classes"], "--json")
    header = json.loads(said.out)
    assert header["schema"] == 1
    assert header["name"] == "tiny-classes"


def test_inspect_refuses_what_is_no_checkpoint(call, tmp_path):
    torch.save({"weights": [1, 2]}, tmp_path / "list.pth")
    said = call("inspect", tmp_path / "list.pth")
    assert said.code == 2
    assert len(said.err.strip().splitlines()) == 1


def test_export_model_keeps_the_weights(call, models, tmp_path):
    target = tmp_path / "copy.safetensors"
    said = call("export-model", models["instances"], target)
    assert said.code == 0
    first, second = load_checkpoint(models["instances"]), load_checkpoint(target)
    assert first.header.weights_hash == second.header.weights_hash
    assert re.search(first.header.weights_hash[:12], said.out)


def test_export_model_does_not_replace_without_being_asked(call, models, tmp_path):
    target = tmp_path / "there.safetensors"
    target.write_text("mine")
    assert call("export-model", models["instances"], target).code == 2
    assert target.read_text() == "mine"
    assert call("export-model", models["instances"], target, "--overwrite").code == 0
    assert call("export-model", target, target, "--overwrite").code == 2
    assert call("export-model", models["instances"], tmp_path / "x.tiff").code == 2
    assert call("export-model", models["instances"], tmp_path / "no" / "x.safetensors").code == 2
