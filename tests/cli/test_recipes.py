"""`napari-unet train --recipe`: data sets from folders to a checkpoint with scores."""

from __future__ import annotations

import csv

import pytest
from tifffile import imwrite

from napari_unet.image.synthetic import nuclei_2d
from napari_unet.model.checkpoint import load_checkpoint

RECIPE = """
[model]
name = "small"
[model.network]
ndim = 2
features = [4, 8]
[[head]]
name = "nuclei"
classes = ["background", "nucleus"]
[[data]]
images = "images/*_raw.tif"
labels = "labels/{}_truth.tif"
split = "split.csv"
select = { kind = "dense" }
licence = "CC0"
[schedule]
steps = 4
patch = [32, 32]
batch = 2
score_every = 4
"""


@pytest.fixture
def data(tmp_path):
    for name in ("images", "labels"):
        (tmp_path / "data" / name).mkdir(parents=True)
    with (tmp_path / "split.csv").open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(("id", "part", "cluster", "kind"))
        for n, (part, kind) in enumerate(
            [("train", "dense"), ("validation", "dense"), ("test", "dense"), ("train", "thin")]
        ):
            image, labels = nuclei_2d((64, 64), seed=n)
            if part != "test":  # what is kept for testing is not even opened
                imwrite(tmp_path / "data" / "images" / f"{n}_raw.tif", image)
                imwrite(tmp_path / "data" / "labels" / f"{n}_truth.tif", labels)
            else:
                (tmp_path / "data" / "images" / f"{n}_raw.tif").write_bytes(b"no image")
            rows.writerow((f"{n}_raw", part, n, kind))
    (tmp_path / "small.toml").write_text(RECIPE)
    return tmp_path


def test_a_model_is_trained_from_a_recipe(call, data):
    out = data / "small.safetensors"
    command = ["train", "--recipe", data / "small.toml", "--data", data / "data", "-o", out, "--device", "cpu"]
    result = call(*command, "--state", data / "state")
    assert result.code == 0
    header = load_checkpoint(out).header
    assert header.provenance["steps"] == 4 and header.provenance["licences"] == ["CC0"]
    assert set(header.provenance["validation"]) == {"dense"}
    assert "1 images to learn from, 1 to score" in result.err


def test_what_is_missing_is_told(call, data):
    out = ["-o", data / "x.safetensors", "--device", "cpu"]
    assert "--data" in call("train", "--recipe", data / "small.toml", *out).err
    command = ["train", "--recipe", data / "small.toml", "--data", data / "data", *out]
    assert "no images to learn from" in call(*command, "--without", "images").err
    assert "no images to learn from" in call(*command, "--without", "dense").err
    (data / "split.csv").write_text("id,cluster\na,1\n")
    assert "part" in call(*command).err
    (data / "split.csv").unlink()
    assert "split" in call(*command).err
