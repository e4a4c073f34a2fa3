"""Measurements agree with scikit-image and say their units; tables are plain CSV."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from skimage.measure import regionprops_table

from napari_unet.errors import ImageError, OutputError
from napari_unet.image.source import ImageSource
from napari_unet.image.synthetic import nuclei_2d, nuclei_3d, nuclei_time
from napari_unet.io.tables import measure_objects, write_table


def test_2d_with_channels_as_scikit_image_measures_it() -> None:
    image, labels = nuclei_2d((96, 96), seed=3)
    both = np.stack([image, image // 2])
    source = ImageSource(both, "CYX", scale=(1, 0.5, 0.25))
    table = measure_objects(labels, "YX", source, model_hash="ab", settings='{"split": 0.5}', in_training=True)
    expected = regionprops_table(
        labels, np.moveaxis(both, 0, -1), ("label", "area", "centroid", "intensity_mean"), spacing=(0.5, 0.25)
    )
    pairs = {
        "label": "label",
        "area_um2": "area",
        "centroid_y_um": "centroid-0",
        "centroid_x_um": "centroid-1",
        "mean_0": "intensity_mean-0",
        "mean_1": "intensity_mean-1",
    }
    for ours, theirs in pairs.items():
        np.testing.assert_allclose(table[ours], expected[theirs])
    assert list(table) == [*pairs, "edited_fraction", "in_training", "model_hash", "settings"]
    assert np.isnan(table["edited_fraction"]).all()
    assert table["in_training"].all()
    assert set(table["model_hash"]) == {"ab"}
    assert set(table["settings"]) == {'{"split": 0.5}'}


def test_3d_volumes_and_nanometres() -> None:
    image, labels = nuclei_3d((10, 48, 48), seed=0)
    source = ImageSource(image, "ZYX", scale=(1000, 500, 500), units="nm")
    table = measure_objects(labels, "ZYX", source)
    expected = regionprops_table(labels, image, ("area", "centroid"), spacing=(1.0, 0.5, 0.5))
    np.testing.assert_allclose(table["volume_um3"], expected["area"])
    np.testing.assert_allclose(table["centroid_z_um"], expected["centroid-0"])


def test_time_has_frames_and_unknown_size_is_pixels() -> None:
    image, labels = nuclei_time((3, 64, 64), seed=0)
    edited = np.zeros(labels.shape, bool)
    edited[:, :32] = True
    table = measure_objects(labels, "TYX", ImageSource(image, "TYX"), edited=edited)
    assert set(table["frame"]) == {0, 1, 2}
    assert {"area_px", "centroid_y_px", "centroid_x_px"} <= set(table)
    for row in range(table["label"].size):
        body = labels[table["frame"][row]] == table["label"][row]
        assert table["area_px"][row] == body.sum()
        assert table["edited_fraction"][row] == pytest.approx(edited[0][body].mean())


def test_axes_in_any_order_and_huge_labels() -> None:
    labels = np.zeros((6, 5, 4), np.uint32)  # X, Y, T
    labels[1:3, 2, 1] = 2**32 - 1
    image = np.arange(120.0).reshape(4, 5, 6)
    table = measure_objects(labels, "XYT", ImageSource(image, "TYX"))
    assert table["label"].tolist() == [2**32 - 1]
    assert (table["frame"][0], table["area_px"][0], table["centroid_x_px"][0]) == (1, 2, 1.5)
    assert table["mean_0"][0] == image[1, 2, 1:3].mean()


def test_no_objects_and_a_wrong_shape() -> None:
    source = ImageSource(np.zeros((8, 9)), "YX")
    table = measure_objects(np.zeros((8, 9), np.uint16), "YX", source)
    assert all(len(column) == 0 for column in table.values())
    with pytest.raises(ImageError, match="labels are"):
        measure_objects(np.zeros((9, 8), np.uint16), "YX", source)


def test_csv(tmp_path: Path) -> None:
    columns = {"label": np.array([1, 2], np.uint16), "mean": np.array([0.1, np.nan]), "name": ["a,b", "µ"]}
    path = write_table(tmp_path / "t.csv", columns)
    with open(path, encoding="utf-8", newline="") as file:
        assert list(csv.reader(file)) == [["label", "mean", "name"], ["1", "0.1", "a,b"], ["2", "", "µ"]]
    with pytest.raises(OutputError, match="exists"):
        write_table(path, columns)
    with pytest.raises(OutputError, match="length"):
        write_table(tmp_path / "u.csv", {"a": [1], "b": [1, 2]})
    assert [p.name for p in tmp_path.iterdir()] == ["t.csv"]
