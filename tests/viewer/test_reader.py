"""The reader keeps what napari's own drops, in layers that napari really makes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer

from napari_unet.errors import ImageError
from napari_unet.io import tiff
from napari_unet.io.labels import write_labels
from napari_unet.viewer.reader import get_reader, read


def layers(path: Any) -> list[Layer]:
    """Read a path and add the layers to a real viewer."""
    reader = get_reader(path)
    assert reader is not None
    viewer = ViewerModel()
    for data, arguments, kind in reader(path):
        getattr(viewer, f"add_{kind}")(data, **arguments)
    return list(viewer.layers)


def units(layer: Layer) -> list[str]:
    return [f"{unit:~P}" for unit in layer.units]


def test_axes_voxel_size_and_channels(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 99, (4, 2, 20, 30)).astype(np.uint16)
    path = tmp_path / "cells.tif"
    meta = {"axes": "ZCYX", "spacing": 3, "unit": "um"}
    tifffile.imwrite(path, image, imagej=True, resolution=(4, 2), metadata=meta)
    for given in (str(path), path, [path], [str(path)]):
        made = layers(given)
        assert [layer.name for layer in made] == ["cells [0]", "cells [1]"]
        for channel, layer in enumerate(made):
            assert isinstance(layer, Image)
            np.testing.assert_array_equal(layer.data, image[:, channel])
            assert layer.axis_labels == ("z", "y", "x")
            assert layer.scale.tolist() == [3, 0.5, 0.25]
            assert units(layer) == ["µm", "µm", "µm"]


def test_time_has_no_length(tmp_path: Path) -> None:
    path = tmp_path / "movie.tif"
    meta = {"axes": "TYX", "unit": "um"}
    tifffile.imwrite(path, np.zeros((5, 20, 30), np.uint8), imagej=True, resolution=(2, 2), metadata=meta)
    (layer,) = layers(path)
    assert layer.axis_labels == ("t", "y", "x")
    assert layer.scale.tolist() == [1, 0.5, 0.5]
    assert units(layer) == ["pixel", "µm", "µm"]


@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_colour_is_one_layer(tmp_path: Path, planar: Any) -> None:
    image = np.random.default_rng(0).integers(0, 99, (20, 30, 3)).astype(np.uint8)
    stored = image if planar == "contig" else np.moveaxis(image, -1, 0)
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", planarconfig=planar)
    (layer,) = layers(tmp_path / "a.tif")
    assert isinstance(layer, Image)
    assert layer.rgb
    np.testing.assert_array_equal(layer.data, image)


def test_unclear_axes_stay_unnamed_but_sizes_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    stack = np.zeros((6, 20, 30), np.uint8)
    tifffile.imwrite(path, stack, resolution=(20000, 20000), resolutionunit=3, metadata=None)
    (layer,) = layers(path)
    assert layer.axis_labels == ("-3", "y", "x")
    assert layer.scale.tolist() == [1, 0.5, 0.5]
    assert units(layer) == ["pixel", "µm", "µm"]


def test_several_files_are_a_stack(tmp_path: Path) -> None:
    paths = [tmp_path / f"{i}.tif" for i in range(3)]
    for number, path in enumerate(paths):
        tifffile.imwrite(path, np.full((8, 9), number, np.uint8))
    (layer,) = layers(paths)
    assert layer.data[:, 0, 0].tolist() == [0, 1, 2]
    assert layer.axis_labels == ("-3", "y", "x")
    tifffile.imwrite(paths[1], np.zeros((8, 8), np.uint8))
    with pytest.raises(ImageError, match="do not make a stack"):
        read(paths)


@pytest.mark.parametrize("largest", [3, 300, 70000])
def test_own_label_files_become_labels_layers(tmp_path: Path, largest: int) -> None:
    labels = np.zeros((4, 8, 9), np.uint32)
    labels[1, 2, 3] = largest
    path = write_labels(tmp_path / "l.tif", labels, "ZYX", (2, 1, 0.5), provenance={"model_hash": "ab"})
    (layer,) = layers(path)
    assert isinstance(layer, Labels)
    np.testing.assert_array_equal(layer.data, labels)
    assert layer.data.dtype.itemsize >= 2
    assert layer.scale.tolist() == [2, 1, 0.5]
    assert layer.metadata == {"napari_unet": {"model_hash": "ab"}}


def test_large_files_are_shown_lazily(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiff, "EAGER_BYTES", 100)
    image = np.random.default_rng(0).integers(0, 99, (4, 2, 20, 30)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", image, imagej=True, metadata={"axes": "ZCYX"})
    made = layers(tmp_path / "a.tif")
    assert not isinstance(made[0].data, np.ndarray)
    np.testing.assert_array_equal(np.asarray(made[1].data[2]), image[2, 1])


def test_ome_zarr(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.zarr"
    group = zarr.create_group(str(path), zarr_format=2)
    group.create_array("0", data=np.zeros((5, 8, 9), np.uint8))
    axes = [{"name": n, "type": "space", "unit": "micrometer"} for n in "zyx"]
    transform = [{"type": "scale", "scale": [2, 1, 1]}]
    group.attrs["multiscales"] = [{"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": transform}]}]
    (layer,) = layers(path)
    assert (layer.name, layer.axis_labels, layer.scale.tolist()) == ("a", ("z", "y", "x"), [2, 1, 1])


@pytest.mark.parametrize("path", ["a.png", ["a.tif", "b.jpg"], [], Path("a.txt")])
def test_other_files_are_left_to_others(path: Any) -> None:
    assert get_reader(path) is None


def test_a_damaged_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(b"II*\0broken")
    with pytest.raises(ImageError, match=r"a\.tif"):
        read(tmp_path / "a.tif")


@pytest.mark.shared_data
def test_a_real_stack(shared_data: Path) -> None:
    (layer,) = layers(shared_data / "plantseg_ovules3d" / "1135_mini_raw.tif")
    assert layer.axis_labels == ("z", "y", "x")
    assert layer.scale == pytest.approx([0.28372, 0.12679, 0.12679], abs=1e-5)
    assert units(layer) == ["µm"] * 3
