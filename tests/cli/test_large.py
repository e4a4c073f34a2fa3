"""Images that do not fit into memory: OME-Zarr in, OME-Zarr out."""

from __future__ import annotations

import contextlib
import csv

import numpy as np
import pytest
import zarr

from napari_unet.cli import large
from napari_unet.inference.labels import agreement, blocks
from napari_unet.inference.labels.keeping import ScoreStore
from napari_unet.io.images import open_image, read_image
from napari_unet.io.labels import read_labels
from napari_unet.model.checkpoint import Checkpoint
from napari_unet.model.config import UNetConfig
from napari_unet.model.unet import UNet


@pytest.fixture
def big(tmp_path):
    """An OME-Zarr of disks on noise."""
    rng = np.random.default_rng(0)
    image = rng.integers(0, 50, (200, 300)).astype(np.uint16)
    rows, columns = np.indices(image.shape)
    for y, x in rng.integers(10, (190, 290), (30, 2)):
        image[(rows - y) ** 2 + (columns - x) ** 2 < 60] += 400
    folder = tmp_path / "big.zarr"
    axes = [{"name": n, "type": "space", "unit": "micrometer"} for n in "yx"]
    datasets = [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [0.5, 0.5]}]}]
    ome = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets}]}
    group = zarr.open_group(str(folder), mode="w", zarr_format=3, attributes={"ome": ome})
    group.create_array("0", data=image, chunks=(64, 64))
    return folder


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(blocks, "PLANE_CHUNK", (1, 64, 64))
    monkeypatch.setattr(blocks, "PLANE_MARGIN", (0, 32, 32))
    monkeypatch.setattr(large, "needs_disk", lambda *_: True)
    monkeypatch.setattr(agreement, "_IN_MEMORY", 1000)


def rows_of(path):
    with open(path, encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("kind", ["instances", "classes"])
def test_an_ome_zarr_becomes_a_pyramid_with_the_same_labels_and_table(call, models, big, tmp_path, kind):
    out, plain = tmp_path / "out", tmp_path / "plain"
    usual = ["segment", big, "-m", models[kind], "--device", "cpu", "--precision", "float32", "--table"]
    assert call(*usual, "-o", plain).code == 0
    said = call(*usual, "-o", out, "--format", "ome-zarr")
    assert said.code == 0, said.err
    assert sorted(path.name for path in out.iterdir()) == ["big_labels.zarr", "big_objects.csv"]
    expected, _, scale, _ = read_labels(plain / "big_labels.tif")
    labels, axes, found_scale, provenance = read_labels(out / "big_labels.zarr")
    np.testing.assert_array_equal(labels[0, 0], expected)
    assert (axes, found_scale[1:]) == ("TZYX", scale[1:])
    assert provenance["model"].startswith("tiny") and len(provenance["image_sha256"]) == 64
    assert open_image(out / "big_labels.zarr").is_labels
    group = zarr.open_group(str(out / "big_labels.zarr"), mode="r")
    np.testing.assert_array_equal(group["1"][0, 0], expected[::2, ::2])
    ours, theirs = rows_of(out / "big_objects.csv"), rows_of(plain / "big_objects.csv")
    assert len(ours) == len(theirs) > 0
    for one, other in zip(ours, theirs, strict=True):
        assert one["label"] == other["label"]
        np.testing.assert_allclose(float(one["centroid_y_um"]), float(other["centroid_y_um"]))
        np.testing.assert_allclose(float(one["mean_0"]), float(other["mean_0"]))
    again = call(*usual, "-o", out, "--format", "ome-zarr")
    assert "skipped: finished before" in again.err
    other = call(*usual, "-o", out, "--format", "ome-zarr", "--threshold", "0.6")
    assert other.code == 1 and "another settings" in other.err
    assert call(*usual, "-o", out, "--format", "ome-zarr", "--threshold", "0.6", "--overwrite").code == 0
    assert sorted(path.name for path in out.iterdir()) == ["big_labels.zarr", "big_objects.csv"]


def test_what_does_not_fit_becomes_an_ome_zarr_by_itself(call, models, big, tmp_path):
    out = tmp_path / "out"
    said = call("segment", big, "-m", models["instances"], "-o", out, "--memory", "0.0001")
    assert said.code == 0, said.err
    assert "Written as OME-Zarr: in memory it would have needed more than the 97.7 KiB to work with" in said.err
    assert [path.name for path in out.iterdir()] == ["big_labels.zarr"]
    again = call("segment", big, "-m", models["instances"], "-o", out)
    assert "skipped: finished before" in again.err


def test_an_interrupted_run_goes_on_and_ends_the_same(call, models, big, tmp_path, monkeypatch, small_blocks):
    command = ["segment", big, "-m", models["instances"], "--device", "cpu", "--memory", "0.01"]
    assert call(*command, "-o", tmp_path / "plain").code == 0
    expected = read_labels(tmp_path / "plain" / "big_labels.zarr")[0]
    out = tmp_path / "out"
    put, done = ScoreStore.put, []

    def interrupted(self, t, box, scores):
        if len(done) == 1:
            raise KeyboardInterrupt
        done.append(box)
        put(self, t, box, scores)

    with monkeypatch.context() as patch:
        patch.setattr(ScoreStore, "put", interrupted)
        patch.setattr("napari_unet.inference.planning.plan_tiles", smaller_tiles())
        with contextlib.suppress(KeyboardInterrupt):
            call(*command, "-o", out)
    assert [path.name for path in out.iterdir()] == [".big_labels.partial"]
    said = call(*command, "-o", out)
    assert said.code == 0, said.err
    assert "An interrupted run had finished" in said.err
    assert [path.name for path in out.iterdir()] == ["big_labels.zarr"]
    np.testing.assert_array_equal(read_labels(out / "big_labels.zarr")[0], expected)


def smaller_tiles():
    """Return `plan_tiles` with many tiles, and a size other than that of the run that goes on."""
    from napari_unet.inference.tiles.tiling import plan_tiles

    def planned(*arguments, **options):
        return plan_tiles(*arguments, **{**options, "tile": 64})

    return planned


def test_a_changed_image_is_segmented_from_the_beginning(call, models, big, tmp_path, small_blocks, monkeypatch):
    out = tmp_path / "out"
    command = ["segment", big, "-m", models["instances"], "-o", out, "--device", "cpu"]
    with monkeypatch.context() as patch:
        patch.setattr(large, "put_in_place", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with contextlib.suppress(KeyboardInterrupt):
            call(*command)
    assert [path.name for path in out.iterdir()] == [".big_labels.partial"]
    zarr.open_group(str(big), mode="r+")["0"][:20] = 0
    said = call(*command)
    assert said.code == 0, said.err
    assert "An interrupted run" not in said.err
    assert read_image(out / "big_labels.zarr").shape == (1, 1, 200, 300)


def test_labels_that_are_there_are_replaced_only_when_asked(call, models, big, tmp_path):
    command = ["segment", big, "-m", models["instances"], "-o", tmp_path / "out", "--format", "ome-zarr"]
    assert call(*command).code == 0
    there = tmp_path / "out" / "big_labels.zarr"
    before = read_labels(there)[0]
    said = call(*command, "--min-size", "100000")
    assert said.code == 1 and "in the way" in said.err and "--overwrite" in said.err
    np.testing.assert_array_equal(read_labels(there)[0], before)
    assert call(*command, "--min-size", "100000", "--overwrite").code == 0
    assert not read_labels(there)[0].any()


def test_a_folder_of_another_kind_is_never_replaced(call, models, big, tmp_path):
    there = tmp_path / "out" / "big_labels.zarr"
    there.mkdir(parents=True)
    (there / "thesis.txt").write_text("years")
    command = ["segment", big, "-m", models["instances"], "-o", tmp_path / "out", "--format", "ome-zarr"]
    for more in ([], ["--overwrite"]):
        said = call(*command, *more)
        assert said.code == 1 and "big_labels.zarr" in said.err
    assert (there / "thesis.txt").read_text() == "years"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["big_labels.zarr"]


def test_an_image_that_does_not_fit_the_model_leaves_nothing_behind(call, big, tmp_path):
    network = UNet(UNetConfig(ndim=3, features=(2, 2), out_channels=2))
    model = Checkpoint.from_module(network, ndim=3, in_channels=1, out_channels=2).save(tmp_path / "3d.safetensors")
    said = call("segment", big, "-m", model, "-o", tmp_path / "out", "--format", "ome-zarr")
    assert said.code == 1 and "is 3D" in said.err
    assert not list((tmp_path / "out").iterdir())
