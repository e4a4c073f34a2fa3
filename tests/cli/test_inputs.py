from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_unet.cli.inputs import find_images, find_pairs, natural, numbers, open_source, stem
from napari_unet.cli.outputs import fingerprint, plan_outputs, ready_folder
from napari_unet.errors import ImageError, OutputError, UserError


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def test_folders_patterns_and_files_each_once_in_natural_order(tmp_path):
    touch(*(tmp_path / name for name in ("t10.tif", "t2.tif", "notes.txt", ".hidden.tif", "deep/t1.PNG")))
    touch(tmp_path / "store" / "zarr.json")
    found = find_images([str(tmp_path), str(tmp_path / "**" / "t*"), str(tmp_path / "t2.tif")])
    assert {path.name: str(below) for path, below in found.items()} == {
        "store": ".",
        "t2.tif": ".",
        "t10.tif": ".",
        "t1.PNG": "deep",
    }
    assert [path.name for path in found] == ["store", "t2.tif", "t10.tif", "t1.PNG"]


@pytest.mark.parametrize("text", ["missing.tif", "none*.tif", "."])
def test_nothing_found_is_told(tmp_path, monkeypatch, text):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ImageError, match="does not exist|No file fits|holds no image"):
        find_images([text])


def test_pairs_by_stem(tmp_path):
    touch(
        tmp_path / "i" / "a.ome.tif", tmp_path / "i" / "b.png", tmp_path / "l" / "b_mask.tif", tmp_path / "l" / "a.tif"
    )
    pairs = find_pairs([str(tmp_path / "i")], [str(tmp_path / "l")])
    assert [(image.name, labels.name) for image, labels in pairs] == [("a.ome.tif", "a.tif"), ("b.png", "b_mask.tif")]


def test_an_image_without_labels_and_two_of_a_name_are_refused(tmp_path):
    touch(tmp_path / "i" / "a.tif", tmp_path / "i" / "b.tif", tmp_path / "l" / "a.tif")
    with pytest.raises(ImageError, match=r"'b\.tif' has no labels"):
        find_pairs([str(tmp_path / "i")], [str(tmp_path / "l")])
    touch(tmp_path / "l" / "a_labels.tif")
    with pytest.raises(UserError, match="Two labels are called 'a'"):
        find_pairs([str(tmp_path / "i" / "a.tif")], [str(tmp_path / "l")])


def test_what_the_user_says_about_an_image_wins(tmp_path):
    path = tmp_path / "x.tif"
    tifffile.imwrite(path, np.zeros((3, 20, 30), np.uint8), imagej=True, metadata={"axes": "ZYX"})
    source = open_source(path, "CYX", "2,0", "0.5, 0.25")
    assert source.axes == "CYX"
    assert source.channels == (2, 0)
    assert source.scale == (1.0, 0.5, 0.25)
    assert source.scale_origin == "user"


def test_numbers_that_are_none():
    assert numbers("1, 2;3", "scale", float) == [1, 2, 3]
    with pytest.raises(UserError, match="--channels is 'DAPI'; expected numbers"):
        numbers("DAPI", "channels", int)


def test_natural_order_and_stems():
    names = [Path(name) for name in ("a10.tif", "a2.tif", "A1.tif")]
    assert [path.name for path in sorted(names, key=natural)] == ["A1.tif", "a2.tif", "a10.tif"]
    assert [stem(Path(name)) for name in ("a.ome.zarr", "b.JPEG", "c", ".tif")] == ["a", "b", "c", ".tif"]


def test_earlier_outputs_are_no_inputs_and_clashes_are_told(tmp_path):
    a, b = tmp_path / "a.tif", tmp_path / "a_labels.tif"
    here = Path()
    assert plan_outputs({a: here, b: here}, tmp_path, "_labels.tif") == [(a, b)]
    with pytest.raises(OutputError, match="would both be written"):
        plan_outputs({a: here, tmp_path / "a.png": here}, tmp_path / "out", "_labels.tif")
    plan = plan_outputs({a: Path("A01"), tmp_path / "B" / "a.tif": Path("B02")}, tmp_path / "out", "_labels.tif")
    assert [target.relative_to(tmp_path) for _, target in plan] == [
        Path("out/A01/a_labels.tif"),
        Path("out/B02/a_labels.tif"),
    ]


def test_an_output_folder_that_cannot_be(tmp_path):
    touch(tmp_path / "file")
    with pytest.raises(OutputError, match="cannot be written: it is a file"):
        ready_folder(tmp_path / "file")
    with pytest.raises(OutputError, match="cannot be written: not a directory"):
        ready_folder(tmp_path / "file" / "below")
    assert ready_folder(tmp_path / "new" / "deep").is_dir()


def test_a_fingerprint_follows_content_and_names(tmp_path):
    (tmp_path / "store").mkdir()
    for name in ("a", "b"):
        (tmp_path / "store" / name).write_text(name)
    before = fingerprint(tmp_path / "store")
    assert fingerprint(tmp_path / "store") == before
    (tmp_path / "store" / "b").rename(tmp_path / "store" / "c")
    assert fingerprint(tmp_path / "store") != before
