"""The fastest way of this machine gives the labels of float32 untiled: built-in nuclei model, real images."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import tifffile
from skimage import io

from napari_unet import load_checkpoint
from napari_unet.inference.labels.objects import decode
from napari_unet.inference.predictor import Predictor
from napari_unet.learning.evaluation import match_objects

IMAGES = 6


def average_precision(truth, labels):
    matches = match_objects(truth, labels, 0.5)
    return matches.average_precision


def images_of(folder):
    with (folder / "manifest.csv").open(newline="") as file:
        names = [row[next(iter(row))] for row in csv.DictReader(file)]
    found = [folder / "images" / f"{name.removesuffix('.png')}.png" for name in names]
    return [path for path in found if path.exists()][:: max(1, len(found) // IMAGES)][:IMAGES]


@pytest.mark.shared_data
def test_labels_are_those_of_float32_untiled(shared_data, tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_UNET_CACHE", str(tmp_path))
    folder = shared_data / "dsb2018"
    checkpoint = load_checkpoint("nuclei-2d")
    fast = Predictor(checkpoint, "cpu", "auto", tile=96, threads=1)
    exact = Predictor(checkpoint, "cpu", "float32", tile=4096, threads=1)
    same, voxels, gain = 0, 0, []
    chosen = images_of(folder)
    assert len(chosen) >= 4
    for path in chosen:
        image = io.imread(path)
        image = image[..., :3] if image.ndim == 3 else image
        axes = "YXC" if image.ndim == 3 else "YX"
        truth = tifffile.imread(folder / "labels" / f"{path.stem}.tif")
        found = [decode(one.predict(image, axes), checkpoint.header.output) for one in (fast, exact)]
        first, second = (np.asarray(labels).reshape(truth.shape) for labels in found)
        same += int(((first > 0) == (second > 0)).sum())
        voxels += truth.size
        gain.append(average_precision(truth, first) - average_precision(truth, second))
    assert same / voxels >= 0.999
    assert abs(float(np.mean(gain))) <= 0.002
