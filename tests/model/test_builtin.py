"""The checkpoint that ships with the package: there, small, documented, and as good as its card says."""

import csv
from pathlib import Path

import numpy as np
import pytest
from imageio.v3 import imread as read_png
from tifffile import imread as read_tiff

from napari_unet.errors import CheckpointError
from napari_unet.image.synthetic import nuclei_2d
from napari_unet.inference.predictor import Predictor
from napari_unet.model.builtin import builtin_names, builtin_path, model_card
from napari_unet.model.checkpoint import load_checkpoint, read_header

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def predictor():
    return Predictor(load_checkpoint("nuclei-2d"), device="cpu", threads=1)


def average_precision(truth, labels):
    """TP / (TP + FP + FN) at an IoU over 0.5, written for the test."""
    truth_ids, labels_ids = np.unique(truth[truth > 0]), np.unique(labels[labels > 0])
    hits = 0
    for number in truth_ids:
        mask = truth == number
        values, counts = np.unique(labels[mask], return_counts=True)
        for value, overlap in zip(values, counts, strict=True):
            if value and overlap / (mask.sum() + (labels == value).sum() - overlap) > 0.5:
                hits += 1
    return hits / max(1, len(truth_ids) + len(labels_ids) - hits)


@pytest.mark.parametrize("name", builtin_names())
def test_it_is_small_and_documented(name):
    assert builtin_path(name).stat().st_size <= 8_000_000
    header = read_header(name)
    assert header.name == name
    card = model_card(name)
    assert header.weights_hash in card
    groups = header.provenance["scores"].values()
    scores = [value for group in groups for key, value in group.items() if key != "images"]
    assert all(f"{value:.3f}" in card for value in scores)
    assert (ROOT / "recipes" / f"{name}.toml").exists()


def test_all_together_are_small():
    assert sum(builtin_path(name).stat().st_size for name in builtin_names()) <= 24_000_000
    with pytest.raises(CheckpointError, match="nuclei-2d"):
        builtin_path("../../secret")


def test_nuclei_2d_takes_gray_and_colour():
    header = read_header("nuclei-2d")
    assert header.output.instances
    assert header.repeat_gray


def test_it_separates_generated_nuclei(predictor):
    image, truth = nuclei_2d((256, 256), seed=3)
    assert average_precision(np.asarray(truth), predictor.segment(image, axes="YX")) > 0.6


def test_gray_and_rgb_give_the_same(predictor):
    image, _ = nuclei_2d((96, 112), seed=1)
    colour = np.repeat(np.asarray(image)[..., None], 3, axis=-1)
    assert np.array_equal(predictor.segment(image, axes="YX"), predictor.segment(colour, axes="YXC"))


@pytest.mark.shared_data
def test_held_back_fluorescence_images(predictor, shared_data):
    folder = shared_data / "dsb2018"
    with (ROOT / "recipes" / "nuclei-2d.csv").open(newline="") as stream:
        test = {row["id"] for row in csv.DictReader(stream) if row["part"] == "test"}
    with (folder / "manifest.csv").open(newline="") as stream:
        names = [row["id"] for row in csv.DictReader(stream) if row["category"] == "fluo" and row["id"] in test]
    scores = []
    for name in sorted(names)[::3]:
        labels = predictor.segment(read_png(folder / "images" / f"{name}.png"), axes="YX")
        scores.append(average_precision(read_tiff(folder / "labels" / f"{name}.tif"), labels))
    assert len(scores) > 15
    assert np.mean(scores) >= 0.70
