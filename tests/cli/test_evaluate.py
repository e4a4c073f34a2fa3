from __future__ import annotations

import csv

import numpy as np
import tifffile
from PIL import Image

from napari_unet.cli import mistakes


def rows_of(path):
    with open(path, encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_labels_against_themselves_score_1(call, images, tmp_path):
    labels = images.parent / "labels"
    said = call("evaluate", "--predictions", labels, "--labels", labels, "-o", tmp_path / "s.csv")
    assert said.code == 0, said.err
    rows = rows_of(tmp_path / "s.csv")
    assert [row["image"] for row in rows] == ["field_2.tif", "field_10.tif", "mean"]
    for name in ("dice", "iou", "precision", "recall", "f1", "ap_50", "ap_95", "ap", "pq", "boundary_f1"):
        assert all(float(row[name]) == 1 for row in rows)
    assert all(float(row["rand_error"]) == float(row["missed"]) == 0 for row in rows)


def test_errors_are_counted_and_drawn(call, tmp_path):
    for name in ("truth", "found", "images"):
        (tmp_path / name).mkdir()
    truth, labels = np.zeros((2, 4, 60, 80), np.uint16)
    truth[1, 5:25, 5:25], truth[1, 5:25, 30:50], truth[1, 5:25, 50:70] = 1, 2, 3
    truth[1, 35:55, 5:25], truth[1, 35:55, 30:50] = 4, 5
    labels[1, 5:25, 5:15], labels[1, 5:25, 15:25], labels[1, 5:25, 30:70] = 6, 7, 8  # 1 is split, 2 and 3 are merged
    labels[1, 35:55, 32:52], labels[1, 35:50, 65:78] = 9, 10  # 4 is missed, 10 invented
    for folder, array in (("truth", truth), ("found", labels), ("images", truth.astype(np.uint8) * 30)):
        tifffile.imwrite(tmp_path / folder / "stack.tif", array, metadata={"axes": "ZYX"})
    said = call(
        "evaluate", "--predictions", tmp_path / "found", "--labels", tmp_path / "truth", "-o", tmp_path / "s.csv",
        "--images", tmp_path / "images", "--pictures", tmp_path / "drawn",
    )  # fmt: skip
    assert said.code == 0, said.err
    row = rows_of(tmp_path / "s.csv")[0]
    counts = {name: float(row[name]) for name in ("objects", "found", "missed", "invented", "split", "merged")}
    assert counts == {"objects": 5, "found": 5, "missed": 1, "invented": 1, "split": 1, "merged": 1}
    picture = np.asarray(Image.open(tmp_path / "drawn" / "stack_errors.png"))
    times = 1000 // 80
    shown = picture[: 60 * min(times, 4)].reshape(-1, 3)
    for kind in (mistakes.FOUND, mistakes.SPLIT, mistakes.MERGED, mistakes.INVENTED, mistakes.MISSED):
        assert (shown == mistakes.STYLES[kind].color).all(axis=1).any(), mistakes.STYLES[kind].objects


def test_pictures_need_no_image(call, images, tmp_path):
    labels = images.parent / "labels"
    said = call("evaluate", "--predictions", labels, "--labels", labels, "--pictures", tmp_path / "drawn", "--classes")
    assert said.code == 0, said.err
    assert sorted(path.name for path in (tmp_path / "drawn").iterdir()) == ["field_10_errors.png", "field_2_errors.png"]


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
    assert "0 or more" in call("evaluate", "--predictions", labels, "--labels", labels, "--tolerance", "-1").err
    assert "Give --images" in call("evaluate", "-m", models["instances"], "--labels", labels).err
    (tmp_path / "s.csv").write_text("mine")
    said = call("evaluate", "--predictions", labels, "--labels", labels, "-o", tmp_path / "s.csv")
    assert said.code == 2
    assert (tmp_path / "s.csv").read_text() == "mine"
