"""What is said on the command line is checked before any work, and errors name the option."""

from __future__ import annotations

import os
import time

import pytest
from rich.console import Console

from napari_unet.cli.said import axes, channels, scale, sentence
from napari_unet.cli.training import Lines
from napari_unet.errors import OutputError, UserError
from napari_unet.io.atomic import check_target, check_writable
from napari_unet.learning.reports import TrainReport


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ("--axes", "ZZX"),
        ("--axes", "QYX"),
        ("--axes", ""),
        ("--scale", "0.5"),
        ("--scale", "0.5,-1"),
        ("--scale", "inf,1"),
        ("--channels", "0,0"),
        ("--channels", "one"),
    ],
)
def test_what_cannot_be_meant_ends_at_once(call, images, models, tmp_path, option, text):
    said = call("segment", images, "-m", models["instances"], "-o", tmp_path / "out", option, text)
    assert said.code == 2
    assert option in said.err
    assert len(said.err.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_what_can_be_meant_passes():
    assert (axes("zyx"), scale("2, 0.5 0.5"), channels("1,0")) == ("ZYX", "2, 0.5 0.5", "1,0")


def test_an_error_names_the_option_that_helps(tmp_path):
    (tmp_path / "there.tif").write_text("mine")
    with pytest.raises(OutputError) as caught:
        check_target(tmp_path / "there.tif")
    assert sentence(caught.value).endswith("or allow overwriting (--overwrite).")
    assert sentence(UserError("Something else.", "Try again.")) == "Something else. Try again."


def test_images_whose_axes_are_unclear_are_told_which_option_says_them(call, models, tmp_path):
    import numpy as np
    import tifffile

    tifffile.imwrite(tmp_path / "x.tif", np.zeros((4, 5, 32, 32), np.uint8))
    said = call("segment", tmp_path / "x.tif", "-m", models["instances"], "-o", tmp_path / "out")
    assert said.code == 1
    assert "(--axes)" in said.err


@pytest.mark.skipif(os.name != "posix" or not os.path.isdir("/proc"), reason="needs a folder that takes no file")
def test_a_folder_that_takes_no_file_is_found_out_before_the_training(call, images, models):
    with pytest.raises(OutputError, match="Nothing can be written"):
        check_writable("/proc")
    said = call("train", "-m", models["instances"], "--data", images.parent, "-o", "/proc/x.safetensors")
    assert said.code == 2
    assert "/proc" in said.err


def test_a_log_gets_a_line_now_and_then(capsys, monkeypatch):
    report = TrainReport(7, 12.0, 48.0, 0.25, 0.9, 0.8, 0.9, 0.2)
    lines = Lines(Console(stderr=True))
    lines.say(report)
    assert capsys.readouterr().err == ""
    later = time.monotonic() + 11
    monkeypatch.setattr(time, "monotonic", lambda: later)
    lines.say(report)
    lines.say(report)
    assert capsys.readouterr().err == "20%: step 7, loss 0.250, agreement 0.900, 48 s left\n"
