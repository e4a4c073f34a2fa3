from __future__ import annotations

import csv

import numpy as np
import tifffile

from napari_unet.cli.evaluate import scores


def rows_of(path):
    with open(path, encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_labels_against_themselves_score_1(call, images, tmp_path):
    labels = images.parent / "labels"
    said = call("evaluate", "--predictions", labels, "--labels", labels, "-o", tmp_path / "s.csv")
    assert said.code == 0, said.err
    rows = rows_of(tmp_path / "s.csv")
    assert [row["image"] for row in rows] == ["field_2.tif", "field_10.tif", "mean"]
    for name in ("dice", "iou", "precision", "recall", "f1", "ap_50"):
        assert all(float(row[name]) == 1 for row in rows)


def test_known_counts():
    truth, labels = np.zeros((2, 1, 8, 8), int), np.zeros((2, 1, 8, 8), int)
    truth[0, 0, :4, :4], truth[1, 0, :4, :4] = 1, 2
    labels[0, 0, :4, :4], labels[1, 0, 6:, 6:] = 5, 5
    row = scores(truth, labels)
    assert row["precision"] == row["recall"] == row["f1"] == 0.5
    assert row["ap_50"] == 1 / 3
    assert row["objects"] == 2
    assert row["dice"] == 32 / (32 + 20)


def test_classes_have_a_dice_each():
    truth = np.array([[[[0, 0, 1, 2]]]])
    row = scores(truth, np.array([[[[0, 1, 1, 1]]]]), 3)
    assert row["dice_class_0"] == 2 / 3
    assert row["dice_class_1"] == 0.5
    assert row["dice_class_2"] == 0
    assert "ap_50" not in row


def test_models_of_both_kinds(call, images, models, tmp_path):
    labels = images.parent / "labels"
    said = call("evaluate", "-m", models["instances"], "--images", images, "--labels", labels, "-o", tmp_path / "i.csv")
    assert said.code == 0, said.err
    assert "ap_50" in rows_of(tmp_path / "i.csv")[0]
    for path in labels.iterdir():
        tifffile.imwrite(path, np.minimum(tifffile.imread(path), 2).astype(np.uint8))
    said = call("evaluate", "-m", models["classes"], "--images", images, "--labels", labels, "-o", tmp_path / "c.csv")
    assert said.code == 0, said.err
    assert "dice_class_2" in rows_of(tmp_path / "c.csv")[0]


def test_what_does_not_fit_is_told_and_the_rest_goes_on(call, images, tmp_path):
    labels = images.parent / "labels"
    other = tmp_path / "other"
    other.mkdir()
    tifffile.imwrite(other / "field_2.tif", np.ones((5, 5), np.uint8))
    tifffile.imwrite(other / "field_10.tif", np.ones((96, 80), np.uint8))
    said = call("evaluate", "--predictions", other, "--labels", labels)
    assert said.code == 1
    assert "(1, 1, 5, 5)" in said.err
    assert "1 images, 1 failed" in said.out


def test_bad_usage(call, images, models, tmp_path):
    labels = images.parent / "labels"
    assert "Give --images" in call("evaluate", "-m", models["instances"], "--labels", labels).err
    (tmp_path / "s.csv").write_text("mine")
    said = call("evaluate", "--predictions", labels, "--labels", labels, "-o", tmp_path / "s.csv")
    assert said.code == 2
    assert (tmp_path / "s.csv").read_text() == "mine"
