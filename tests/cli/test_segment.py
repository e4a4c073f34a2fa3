from __future__ import annotations

import csv
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_unet.cli import segment as command
from napari_unet.io.labels import read_labels

NEVER = ("Traceback", "None")


def assert_clean(folder, names):
    """Nothing but these files lies in the folder: no temporary, no half-written one."""
    assert sorted(path.name for path in folder.iterdir()) == sorted(names)


def test_a_folder_becomes_label_tiffs_with_provenance(call, images, models, tmp_path):
    out = tmp_path / "out"
    said = call(
        "segment", images, "-m", models["instances"], "-o", out, "--scale", "0.5,0.5", "--device", "cpu", "--table"
    )
    assert said.code == 0, said.err
    assert "2 segmented, 0 skipped, 0 failed" in said.out
    names = [f"field_{n}_{what}" for n in (2, 10) for what in ("labels.tif", "objects.csv")]
    assert_clean(out, names)
    labels, axes, scale, provenance = read_labels(out / "field_2_labels.tif")
    assert (labels.shape, axes, scale) == ((96, 80), "YX", (1.0, 0.5, 0.5))
    assert provenance["model"] == "tiny"
    assert len(provenance["model_hash"]) == 64
    assert provenance["settings"]["objects"]["min_size"] == 20
    with open(out / "field_2_objects.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert all(float(row["edited_fraction"]) == 0 for row in rows)
    assert len(rows) == np.unique(labels[labels > 0]).size


def test_finished_outputs_are_skipped_others_are_left_alone(call, images, models, tmp_path):
    out = tmp_path / "out"
    arguments = ["segment", images, "-m", models["instances"], "-o", out, "--device", "cpu"]
    assert call(*arguments).code == 0
    before = (out / "field_2_labels.tif").stat().st_mtime_ns
    again = call(*arguments)
    assert again.code == 0
    assert "0 segmented, 2 skipped" in again.out
    assert "skipped: finished before" in again.err
    other = call(*arguments, "--min-size", "0")
    assert other.code == 1
    assert "another settings" in other.err
    assert "--overwrite" in other.err
    model = call("segment", images, "-m", models["classes"], "-o", out)
    assert model.code == 1
    assert "another model" in model.err
    assert (out / "field_2_labels.tif").stat().st_mtime_ns == before
    replaced = call(*arguments, "--min-size", "0", "--overwrite")
    assert replaced.code == 0
    assert read_labels(out / "field_2_labels.tif")[3]["settings"]["objects"]["min_size"] == 0


def test_a_changed_image_is_not_taken_for_finished(call, images, models, tmp_path):
    out = tmp_path / "out"
    arguments = ["segment", images / "field_2.tif", "-m", models["instances"], "-o", out]
    assert call(*arguments).code == 0
    tifffile.imwrite(images / "field_2.tif", np.full((96, 80), 7, np.uint16))
    said = call(*arguments)
    assert said.code == 1
    assert "another image" in said.err


def test_a_table_is_made_from_finished_labels(call, images, models, tmp_path):
    out = tmp_path / "out"
    arguments = ["segment", images / "field_2.tif", "-m", models["instances"], "-o", out]
    assert call(*arguments).code == 0
    before = (out / "field_2_labels.tif").read_bytes()
    assert call(*arguments, "--table").code == 0
    assert (out / "field_2_labels.tif").read_bytes() == before
    assert (out / "field_2_objects.csv").is_file()
    assert "1 skipped" in call(*arguments, "--table").out


def test_it_goes_on_after_bad_files(call, images, models, tmp_path):
    (images / "a_text.tif").write_text("no image at all")
    whole = (images / "field_2.tif").read_bytes()
    (images / "b_short.tif").write_bytes(whole[: len(whole) // 2])
    (images / "c_empty.png").write_bytes(b"")
    tifffile.imwrite(images / "d_axes.tif", np.zeros((4, 5, 32, 32), np.uint8))
    tifffile.imwrite(images / "e_nan.tif", np.full((32, 32), np.nan, np.float32))
    tifffile.imwrite(images / "f_colour.tif", np.zeros((32, 32, 3), np.uint8), photometric="rgb")
    tifffile.imwrite(images / "g_channels.tif", np.zeros((2, 32, 32), np.uint8), imagej=True, metadata={"axes": "CYX"})
    Image.fromarray(np.arange(1024, dtype=np.uint8).reshape(32, 32)).save(images / "h_fine.png")
    out = tmp_path / "out"
    said = call("segment", images, "-m", models["classes"], "-o", out)
    assert said.code == 1
    assert "4 segmented, 0 skipped, 6 failed" in said.out
    sentences = {line.split("/")[-1].partition(":")[0]: line for line in said.err.splitlines() if " failed" not in line}
    for name, reason in {
        "a_text.tif": "no TIFF, PNG, JPEG or OME-Zarr",
        "b_short.tif": "cut short",
        "c_empty.png": "empty",
        "d_axes.tif": "unclear",
        "e_nan.tif": "no finite value",
        "g_channels.tif": "2 channels, but the model takes 1",
    }.items():
        assert reason in sentences[name], sentences[name]
    assert "luminance" in sentences["f_colour.tif"]
    assert not any(word in said.err for word in NEVER)
    assert_clean(out, [f"{name}_labels.tif" for name in ("field_2", "field_10", "f_colour", "h_fine")])


@pytest.mark.parametrize("shape", [(1, 1), (17, 3), (5, 40, 33)])
def test_odd_shapes_and_constant_images(call, models, tmp_path, shape):
    tifffile.imwrite(tmp_path / "x.tif", np.ones(shape, np.int16))
    axes = ["--axes", "ZYX"[-len(shape) :]]
    said = call("segment", tmp_path / "x.tif", "-m", models["instances"], "-o", tmp_path / "out", *axes)
    assert said.code == 0, said.err
    assert tifffile.imread(tmp_path / "out" / "x_labels.tif").shape == shape


def test_an_ome_zarr(call, models, tmp_path):
    import zarr

    group = zarr.open_group(str(tmp_path / "field.ome.zarr"), mode="w", zarr_format=2)
    group.create_array("0", data=np.random.default_rng(0).integers(0, 99, (3, 40, 50), np.uint16), chunks=(1, 32, 32))
    axes = [{"name": name, "type": "space", "unit": "micrometer"} for name in "zyx"]
    levels = [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [2.0, 0.5, 0.5]}]}]
    group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": levels}]
    arguments = ["segment", tmp_path / "field.ome.zarr", "-m", models["classes"], "-o", tmp_path / "out"]
    said = call(*arguments)
    assert said.code == 0, said.err
    labels, axes, scale, _ = read_labels(tmp_path / "out" / "field_labels.tif")
    assert (labels.shape, axes, scale) == ((3, 40, 50), "ZYX", (2.0, 0.5, 0.5))
    assert "1 skipped" in call(*arguments).out


def test_bad_models_end_with_one_sentence(call, images, tmp_path):
    (tmp_path / "empty.safetensors").write_bytes(b"")
    (tmp_path / "text.pth").write_text("hello")
    (tmp_path / "evil.pth").write_bytes(pickle.dumps(print))
    for name in ("missing.safetensors", "empty.safetensors", "text.pth", "evil.pth"):
        said = call("segment", images, "-m", tmp_path / name, "-o", tmp_path / "out")
        assert said.code == 2, name
        assert len(said.err.strip().splitlines()) == 1
        assert "Traceback" not in said.err
        assert not list((tmp_path / "out").iterdir())


def test_a_flipped_bit_in_a_model(call, images, models, tmp_path):
    data = bytearray(models["instances"].read_bytes())
    data[-20] ^= 1
    (tmp_path / "flipped.safetensors").write_bytes(data)
    said = call("segment", images, "-m", tmp_path / "flipped.safetensors", "-o", tmp_path / "out")
    assert said.code == 2
    assert "checksum" in said.err


def test_bad_devices_outputs_and_inputs(call, images, models, tmp_path):
    model = models["instances"]
    (tmp_path / "file").write_text("")
    for arguments, reason in [
        ((images, "-m", model, "-o", tmp_path / "out", "--device", "cuda:7"), "cuda:7"),
        ((images, "-m", model, "-o", tmp_path / "file"), "cannot be written"),
        ((tmp_path / "gone.tif", "-m", model, "-o", tmp_path / "out"), "does not exist"),
        ((tmp_path / "*.none", "-m", model, "-o", tmp_path / "out"), "No file fits"),
    ]:
        said = call("segment", *arguments)
        assert said.code == 2
        assert reason in said.err


def test_an_output_that_is_the_image_itself_is_never_written(call, images, models):
    shutil.copy(images / "field_2.tif", images / "x_labels.tif")
    before = (images / "x_labels.tif").read_bytes()
    (images / "x.tif").symlink_to(images / "x_labels.tif")
    said = call("segment", images / "x.tif", "-m", models["instances"], "-o", images, "--overwrite")
    assert (images / "x_labels.tif").read_bytes() == before
    assert "0 segmented" in said.out or said.code == 1


def test_an_image_that_changes_meanwhile_is_a_failure(call, images, models, tmp_path, monkeypatch):
    from napari_unet.inference.predictor import Predictor

    def changing(self, source, **options):
        tifffile.imwrite(images / "field_2.tif", np.zeros((96, 80), np.uint16), description="changed")
        return np.zeros((96, 80), np.uint32)

    monkeypatch.setattr(Predictor, "segment", changing)
    said = call("segment", images / "field_2.tif", "-m", models["instances"], "-o", tmp_path / "out")
    assert said.code == 1
    assert "changed while it was segmented" in said.err
    assert_clean(tmp_path / "out", [])


def test_an_interrupt_leaves_what_was_finished_and_no_half_file(call, images, models, tmp_path, monkeypatch):
    write, seen = command.write_labels, []

    def interrupted(*args, **kwargs):
        if seen:
            raise KeyboardInterrupt
        seen.append(1)
        return write(*args, **kwargs)

    monkeypatch.setattr(command, "write_labels", interrupted)
    said = call("segment", images, "-m", models["instances"], "-o", tmp_path / "out")
    assert said.code == 130
    assert "Interrupted" in said.err
    assert_clean(tmp_path / "out", ["field_2_labels.tif"])


def test_a_pattern_keeps_its_subfolders(call, images, models, tmp_path):
    for well in ("A01", "B02"):
        (tmp_path / "plate" / well).mkdir(parents=True)
        shutil.copy(images / "field_2.tif", tmp_path / "plate" / well / "1.tif")
    said = call("segment", tmp_path / "plate" / "**" / "*.tif", "-m", models["classes"], "-o", tmp_path / "out")
    assert said.code == 0, said.err
    for well in ("A01", "B02"):
        assert_clean(tmp_path / "out" / well, ["1_labels.tif"])


def test_a_batch_system_may_end_it_at_any_time(call, images, models, tmp_path):
    for number in range(60):
        shutil.copy(images / "field_2.tif", images / f"more_{number}.tif")
    out = tmp_path / "out"
    arguments = ["segment", images, "-m", models["instances"], "-o", out]
    command_line = [sys.executable, "-m", "napari_unet.cli", *map(str, arguments)]
    with subprocess.Popen(command_line, stderr=subprocess.PIPE, text=True) as process:
        while process.poll() is None and not list(out.glob("*_labels.tif")):
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Interrupted" in err
    assert "Traceback" not in err
    finished = list(out.iterdir())
    assert 0 < len(finished) < 62
    assert all(read_labels(path)[3]["model"] == "tiny" for path in finished)
    again = call(*arguments)
    assert again.code == 0
    assert f"{len(finished)} skipped, 0 failed" in again.out


def test_a_terminal_without_unicode(models):
    command_line = [sys.executable, "-m", "napari_unet.cli", "inspect", str(models["instances"])]
    done = subprocess.run(command_line, capture_output=True, env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert done.returncode == 0, done.stderr
