"""OME-Zarr: lazily, with axes and voxel size, and never outside its folder."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import zarr

from napari_unet.errors import AxesError, ImageError
from napari_unet.io import omezarr
from napari_unet.io.images import read_image, read_scale
from napari_unet.io.lazy import LazyZarr

AXES = [
    {"name": "t", "type": "time", "unit": "second"},
    {"name": "c", "type": "channel"},
    {"name": "z", "type": "space", "unit": "nanometer"},
    {"name": "y", "type": "space", "unit": "micrometer"},
    {"name": "x", "type": "space", "unit": "micrometer"},
]


def store(
    path: Path, image: npt.NDArray[Any], axes: list[Any], version: str = "0.4", dataset: str = "0", scale: Any = None
) -> None:
    zarr_format = 2 if version == "0.4" else 3
    group = zarr.create_group(str(path), zarr_format=zarr_format)
    group.create_array("0", data=image, chunks=tuple(min(n, 16) for n in image.shape))
    entry: dict[str, Any] = {"axes": axes, "datasets": [{"path": dataset}]}
    if scale is not None:
        entry["datasets"][0]["coordinateTransformations"] = [{"type": "scale", "scale": scale}]
    if version == "0.4":
        group.attrs["multiscales"] = [{"version": "0.4", **entry}]
    else:
        group.attrs["ome"] = {"version": version, "multiscales": [entry]}


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_axes_voxel_size_and_values(tmp_path: Path, version: str) -> None:
    image = np.random.default_rng(0).integers(0, 999, (2, 3, 4, 20, 30)).astype(np.uint16)
    path = tmp_path / "cells.ome.zarr"
    store(path, image, AXES, version, scale=[1.0, 1.0, 800.0, 0.5, 0.25])
    source = read_image(path)
    assert (source.axes, source.name, source.n_channels, source.shape) == ("TCZYX", "cells", 3, (2, 4, 20, 30))
    assert source.scale == pytest.approx((0.8, 0.5, 0.25))
    assert source.scale_origin == "file"
    assert isinstance(source.data, LazyZarr)
    np.testing.assert_array_equal(source.read(1), image[1])
    assert read_scale(path) == pytest.approx((0.8, 0.5, 0.25))


@pytest.mark.parametrize(("axes", "expected"), [(["z", "y", "x"], "ZYX"), (["c", "y", "x"], "CYX")])
def test_older_versions_name_axes_only(tmp_path: Path, axes: list[str], expected: str) -> None:
    store(tmp_path / "a.zarr", np.zeros((3, 8, 8)), axes)
    source = read_image(tmp_path / "a.zarr")
    assert (source.axes, source.scale) == (expected, None)


def test_a_scale_without_a_unit_says_nothing(tmp_path: Path) -> None:
    store(tmp_path / "a.zarr", np.zeros((8, 8)), [{"name": "y"}, {"name": "x"}], scale=[0.5, 0.5])
    assert read_image(tmp_path / "a.zarr").scale is None


def test_unknown_axes_are_asked(tmp_path: Path) -> None:
    store(tmp_path / "a.zarr", np.zeros((30, 8, 8)), [{"name": "angle"}, {"name": "y"}, {"name": "x"}])
    with pytest.raises(AxesError):
        read_image(tmp_path / "a.zarr")
    assert read_image(tmp_path / "a.zarr", axes="ZYX").shape == (1, 30, 8, 8)


@pytest.mark.parametrize("dataset", ["../outside", "/etc", "link", "http://example.org/0"])
def test_paths_that_lead_out_are_refused(tmp_path: Path, dataset: str) -> None:
    zarr.create_array(str(tmp_path / "outside"), data=np.zeros((8, 8)), zarr_format=2)
    store(tmp_path / "a.zarr", np.zeros((8, 8)), [{"name": "y"}, {"name": "x"}], dataset=dataset)
    (tmp_path / "a.zarr" / "link").symlink_to(tmp_path / "outside")
    with pytest.raises(ImageError, match="outside its folder"):
        read_image(tmp_path / "a.zarr")


def test_a_folder_that_disappears_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    store(path, np.ones((40, 40)), [{"name": "y"}, {"name": "x"}], "0.5")
    source = pickle.loads(pickle.dumps(read_image(path)))  # noqa: S301  our own bytes
    assert source.read(0).min() == 1
    shutil.rmtree(path)
    with pytest.raises(ImageError, match="no longer there"):
        source.read(0)


def test_a_damaged_chunk_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    store(path, np.random.default_rng(0).normal(size=(8, 8)), [{"name": "y"}, {"name": "x"}])
    chunk = next(p for p in (path / "0").rglob("*") if p.is_file() and not p.name.startswith("."))
    chunk.write_bytes(chunk.read_bytes()[:10])
    with pytest.raises(ImageError, match="could not be read"):
        read_image(path).read(0)


@pytest.mark.parametrize("content", ["not json", '{"multiscales": [{}]}', '{"multiscales": 5}', "[]"])
def test_damaged_metadata_is_told(tmp_path: Path, content: str) -> None:
    path = tmp_path / "a.zarr"
    store(path, np.zeros((8, 8)), [{"name": "y"}, {"name": "x"}])
    (path / ".zattrs").write_text(content)
    with pytest.raises(ImageError):
        read_image(path)


def test_huge_metadata_and_huge_chunks_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.zarr"
    store(path, np.zeros((8, 8)), [{"name": "y"}, {"name": "x"}])
    header = json.loads((path / "0" / ".zarray").read_text())
    header |= {"shape": [10**7, 10**7], "chunks": [10**7, 10**7]}
    (path / "0" / ".zarray").write_text(json.dumps(header))
    with pytest.raises(ImageError, match="one chunk of"):
        read_image(path)
    monkeypatch.setattr(omezarr, "_METADATA_BYTES", 10)
    with pytest.raises(ImageError, match="metadata"):
        read_image(path)


@pytest.mark.parametrize(("attributes", "part"), [({"plate": {}}, "a plate"), ({}, "a folder of images")])
def test_a_folder_of_images_is_no_image(tmp_path: Path, attributes: dict[str, Any], part: str) -> None:
    group = zarr.create_group(str(tmp_path / "a.zarr"), zarr_format=2, attributes=attributes)
    group.create_group("field_1")
    with pytest.raises(ImageError, match=part) as caught:
        read_image(tmp_path / "a.zarr")
    assert "field_1" in caught.value.hint


def test_a_plain_folder_is_no_image(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="cannot be read"):
        read_image(tmp_path)
