from __future__ import annotations

import numpy as np
import tifffile
from skimage.draw import disk

from napari_unet.model.checkpoint import load_checkpoint


def test_a_data_folder_makes_a_child_of_the_parent(call, images, models, tmp_path):
    target = tmp_path / "child.safetensors"
    said = call(
        "train", "-m", models["instances"], "--data", images.parent, "--steps", "3", "-o", target, "--seed", "1"
    )
    assert said.code in (0, 1), said.err
    assert "Trained 3 steps" in said.out
    child, parent = load_checkpoint(target).header, load_checkpoint(models["instances"]).header
    assert child.parent == parent.weights_hash
    assert child.provenance["steps"] == 3
    assert child.provenance["known_voxels"] == 2 * 96 * 80


def test_the_same_seed_and_steps_give_the_same_model(call, images, models, tmp_path):
    pair = ["--image", images / "field_2.tif", "--labels", images.parent / "labels" / "field_2.tif"]
    hashes = []
    for name in ("a", "b"):
        target = tmp_path / f"{name}.safetensors"
        said = call("train", "-m", models["instances"], *pair, "--steps", 2, "--threads", 1, "-o", target)
        assert said.code in (0, 1), said.err
        hashes.append(load_checkpoint(target).header.weights_hash)
    assert hashes[0] == hashes[1]


def test_a_new_model_with_classes_from_strokes_learns(call, tmp_path):
    rng = np.random.default_rng(0)
    image, labels = rng.normal(10, 1, (200, 200)), np.zeros((200, 200), np.uint8)
    for y, x in rng.integers(20, 180, (25, 2)):
        rows, columns = disk((y, x), 9, shape=image.shape)
        image[rows, columns] += 20
        labels[rows, columns] = 1
    known = np.zeros_like(labels)
    known[:100] = 1
    for name, array in (("i", image.astype(np.float32)), ("l", labels), ("k", known)):
        tifffile.imwrite(tmp_path / f"{name}.tif", array)
    target = tmp_path / "cells.safetensors"
    files = ["--image", tmp_path / "i.tif", "--labels", tmp_path / "l.tif", "--known", tmp_path / "k.tif"]
    said = call("train", "--classes", "background,cell", *files, "--steps", "30", "-o", target)
    assert said.code == 0, said.err
    checkpoint = load_checkpoint(target)
    assert [info.name for info in checkpoint.header.output.classes] == ["background", "cell"]
    assert checkpoint.header.provenance["known_voxels"] == 100 * 200
    from napari_unet import Predictor

    found = Predictor(checkpoint, device="cpu").segment(image, axes="YX")
    assert (found[100:] == labels[100:]).mean() > 0.95


def test_masks_say_what_teaches(call, images, models, tmp_path):
    known = images.parent / "known"
    known.mkdir()
    for path in images.iterdir():
        tifffile.imwrite(known / path.name, np.zeros((96, 80), np.uint8))
    said = call(
        "train", "-m", models["instances"], "--data", images.parent, "--steps", "1", "-o", tmp_path / "x.safetensors"
    )
    assert said.code == 2
    assert "Nothing is known" in said.err
    assert not (tmp_path / "x.safetensors").exists()


def test_what_cannot_be_trained_is_told(call, images, models, tmp_path):
    data = ["--data", images.parent, "--steps", "1"]
    target = tmp_path / "x.safetensors"
    (tmp_path / "there.safetensors").write_text("mine")
    for arguments, reason in [
        (["-m", models["instances"], "-o", target], "nothing to train on"),
        ([*data, "-o", target], "no model to start from"),
        ([*data, "-m", tmp_path / "gone.pth", "-o", target], "gone.pth"),
        ([*data, "-m", models["instances"], "-o", tmp_path / "x.pth"], "no .safetensors"),
        ([*data, "-m", models["instances"], "-o", tmp_path / "there.safetensors"], "already exists"),
        ([*data, "-m", models["classes"], "-o", target], "but the model has 3"),
        ([*data, "--classes", "one", "-o", target], "two or more"),
        (["--data", images, "-m", models["instances"], "-o", target], "does not hold"),
        (["-m", models["instances"], "--data", images.parent, "--steps", "0", "-o", target], "--steps is 0"),
        (["-m", models["instances"], *data, "--rate", "-1", "-o", target], "--rate is -1.0"),
        (["-m", models["instances"], *data, "--threads", "0", "-o", target], "--threads is 0"),
        (["-m", models["instances"], *data, "--scale", "big", "-o", target], "--scale is 'big'"),
    ]:
        said = call("train", *arguments)
        assert said.code == 2, reason
        assert reason in said.err, said.err
        assert len(said.err.strip().splitlines()) == 1
    assert not target.exists()
    assert (tmp_path / "there.safetensors").read_text() == "mine"


def test_a_worse_model_has_exit_code_1(call, images, models, tmp_path, monkeypatch):
    from napari_unet.learning import decision
    from napari_unet.session import training_tasks

    worse = decision.decide([0.4, 0.4], [0.5, 0.5])
    assert worse.verdict == "keep"
    monkeypatch.setattr(training_tasks, "decide", lambda *scores, **more: worse)
    data = ["--data", images.parent, "--steps", "1"]
    said = call("train", "-m", models["instances"], *data, "-o", tmp_path / "x.safetensors")
    assert said.code == 1
    assert "0.500 before, 0.400 after" in said.out
    assert "keep using the parent" in said.err


def test_ctrl_c_keeps_the_best_so_far(call, images, models, tmp_path, monkeypatch):
    import os
    import signal

    from napari_unet.learning.trainer import Trainer

    step = Trainer._step

    def stepping(self):
        step(self)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Trainer, "_step", stepping)
    target = tmp_path / "x.safetensors"
    said = call("train", "-m", models["instances"], "--data", images.parent, "--seconds", "60", "-o", target)
    assert said.code in (0, 1), said.err
    assert "Trained 1 steps" in said.out
    assert "Stopping after this step" in said.err
    assert load_checkpoint(target).header.provenance["steps"] == 1


def test_a_new_3d_model(call, tmp_path):
    volume = np.random.default_rng(0).integers(0, 9, (10, 40, 48)).astype(np.uint8)
    volume[:, 10:30, 10:30] += 50
    tifffile.imwrite(tmp_path / "i.tif", volume, imagej=True, metadata={"axes": "ZYX"})
    tifffile.imwrite(tmp_path / "l.tif", (volume > 40).astype(np.uint8))
    files = ["--image", tmp_path / "i.tif", "--labels", tmp_path / "l.tif"]
    target = tmp_path / "3d.safetensors"
    said = call("train", "--classes", "background,cell", "--ndim", "3", *files, "--steps", 2, "-o", target)
    assert said.code in (0, 1), said.err
    assert load_checkpoint(target).header.axes == "CZYX"
