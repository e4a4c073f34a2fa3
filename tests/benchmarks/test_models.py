"""The benchmark of models on a few generated images, with a stand-in for the zoo's network."""

from __future__ import annotations

import csv
import importlib

import numpy as np
import pytest
import torch
from PIL import Image
from tifffile import imwrite

from napari_unet.image.synthetic import nuclei_2d


@pytest.fixture
def folder(tmp_path):
    """Two images of fluorescence and one of each other kind, laid out like the Data Science Bowl."""
    kinds = {"0a": "fluo", "0b": "fluo", "0c": "he_color", "0d": "gray_bright"}
    for name in ("images", "labels"):
        (tmp_path / name).mkdir()
    rows = []
    for seed, (name, category) in enumerate(kinds.items()):
        size = (404, 64) if name == "0b" else (72, 88)
        image, labels = nuclei_2d(size, seed)
        gray = np.clip((image - 100.0) / 2, 0, 255).astype(np.uint8)
        if category != "fluo":
            gray = 255 - gray
        if category == "he_color":
            gray = np.stack([gray, gray // 2, gray], axis=-1)
        Image.fromarray(gray).save(tmp_path / "images" / f"{name}.png")
        imwrite(tmp_path / "labels" / f"{name}.tif", labels)
        rows.append({"id": name, "category": category, "h": size[0], "w": size[1]})
    with (tmp_path / "manifest.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    (tmp_path / "split.csv").write_text("id,part,cluster\n" + "".join(f"{name},test,0\n" for name in kinds))
    return tmp_path


class Bright(torch.nn.Module):
    """Calls what is brighter than the mean foreground."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x - 0.5


def test_every_table_is_printed(folder, tmp_path, capsys, monkeypatch):
    models = importlib.import_module("models")
    names = ("0.5× magnification", "as they are", "2× magnification")
    monkeypatch.setattr(models, "DISTURBANCES", {name: models.DISTURBANCES[name] for name in names})
    torch.jit.script(Bright()).save(str(tmp_path / "weights.pt"))
    arguments = [str(folder), "--split", str(folder / "split.csv"), "--diameter", "18", "--zoo", str(tmp_path)]
    assert models.main(arguments) == 0
    printed = capsys.readouterr().out
    assert "4 images (test)" in printed
    assert "fluo-small (1) | fluo-large (1) | fluorescence, all (2) | he_color (1) | gray_bright (1)" in printed
    least = {"nuclei-2d, size found": 0.6, "Otsu + watershed": 0.4, "zoo U-Net + components": 0.1}
    for name, score in least.items():
        row = next(line for line in printed.splitlines() if line.startswith(f"| {name} |"))
        assert float(row.split("|")[4].split()[0]) > score, row
    for name in names:
        assert f"| {name} |" in printed
    wrong = [line for line in printed.split("wrong by a factor")[1].splitlines() if line.startswith("| as they are")]
    assert float(wrong[0].split("|")[2].split()[0]) < 1.3, wrong
    assert "| fluo-small |" in printed.split("| decoding |")[1]


def test_disturbed_images_keep_their_objects(folder):
    images = importlib.import_module("models_parts.images")
    for case in images.held_back(folder, split=folder / "split.csv"):
        for name, disturb in images.DISTURBANCES.items():
            other = disturb(case)
            assert other.truth.shape == other.image.shape[:2], name
            assert other.image.shape[2:] == case.image.shape[2:]
            # A tiny object at the border may vanish in the smaller image.
            assert np.unique(other.truth).size >= 0.9 * np.unique(case.truth).size
        half = images.magnified(case, 0.5)
        assert half.truth.shape == tuple(round(n / 2) for n in case.truth.shape)
        assert np.median(images.magnified(case, 2.0).image) == pytest.approx(np.median(case.image), abs=5)
        assert images.offset(case).image.dtype == np.uint16
