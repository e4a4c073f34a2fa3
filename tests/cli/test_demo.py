from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import tifffile
from PIL import Image
from skimage.data import immunohistochemistry

from napari_unet.cli import demo_window
from napari_unet.cli.demo_images import demo_images, rough_nuclei
from napari_unet.cli.demo_user import choose_windows, correct
from napari_unet.image.source import ImageSource
from napari_unet.jobs import JobRunner
from napari_unet.learning.evaluation import match_objects
from napari_unet.project.folder import WorkFolder
from napari_unet.session.session import Session


@pytest.fixture
def session(tmp_path):
    made = Session(JobRunner("inline"), WorkFolder.create(tmp_path))
    yield made
    made.close()


def test_the_whole_loop_in_the_terminal(call, models, tmp_path):
    out = tmp_path / "out"
    arguments = ["--steps", "2", "--size", "128", "-m", models["instances"], "-o", out, "--seed", "1"]
    said = call("demo", "--headless", *arguments)
    # The tiny model takes one channel: the tissue's luminance is used.
    assert said.code == 0, said.err
    told = " ".join(said.out.split())
    for words in ("exact", "rough", "AP at IoU 0.5", "Dice", "nobody corrected", "colour deconvolution", "objects"):
        assert words in told, words
    assert sorted(path.name for path in out.iterdir()) == [
        "generated-nuclei_labels.tif",
        "overview.png",
        "tissue_labels.tif",
    ]
    assert tifffile.imread(out / "tissue_labels.tif").shape == (128, 128)
    with Image.open(out / "overview.png") as picture:
        assert picture.width > 4 * 256


def test_without_a_display_it_says_so_and_plays(call, models, tmp_path, monkeypatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(demo_window.sys, "platform", "linux")
    said = call("demo", "--steps", "1", "--size", "64", "-m", models["instances"], "-o", tmp_path / "out")
    assert said.code == 0
    assert "There is no display. The demo plays in the terminal instead." in said.err


def test_why_there_is_no_window(monkeypatch):
    monkeypatch.setenv("DISPLAY", ":4711")
    monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")
    monkeypatch.setattr(demo_window, "find_spec", lambda name: object())
    assert "Qt draws nowhere" in demo_window.why_no_window()
    monkeypatch.setenv("QT_QPA_PLATFORM", "no-such-platform")
    assert "Qt cannot open a window" in demo_window.why_no_window()
    monkeypatch.setattr(demo_window, "find_spec", lambda name: None)
    assert "napari is not installed" in demo_window.why_no_window()


WINDOW = """
import napari
from qtpy.QtCore import QTimer
from napari_unet.cli import main
from napari_unet.viewer.lookup import session_of

run = napari.run

def look(*args, **kwargs):
    viewer = napari.current_viewer()
    def check():
        print([layer.name for layer in viewer.layers], viewer.layers.selection.active.name)
        print([*viewer.window.dock_widgets], session_of(viewer).model.header.name)
        viewer.close()
    QTimer.singleShot(500, check)
    run(*args, **kwargs)

napari.run = look
raise SystemExit(main(["demo", "--size", "64", "--model", {model!r}]))
"""


def test_with_a_display_napari_opens_ready_to_segment(models):
    reason = demo_window.why_no_window()
    if reason:
        pytest.skip(reason)
    code = WINDOW.format(model=str(models["instances"]))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    layers, panel = done.stdout.splitlines()
    assert layers == "['tissue', 'generated-nuclei'] generated-nuclei"
    assert "U-Net" in panel
    assert panel.endswith("tiny")


def test_bad_numbers_and_models(call, models, tmp_path):
    assert call("demo", "--headless", "--steps", "0").code == 2
    assert call("demo", "--headless", "--size", "5").code == 2
    said = call("demo", "--headless", "-m", models["classes"], "--size", "64", "-o", tmp_path / "out")
    assert said.code == 2
    assert "finds objects" in said.err


def test_the_images_are_the_same_for_the_same_seed():
    first, second, other = demo_images(3, 128), demo_images(3, 128), demo_images(4, 128)
    assert np.array_equal(first[0].source.data, second[0].source.data)
    assert np.array_equal(first[1].truth, second[1].truth)
    assert not np.array_equal(first[0].source.data, other[0].source.data)
    assert first[0].exact
    assert not first[1].exact
    assert np.array_equal(first[1].source.data, immunohistochemistry()[:128, :128])


def test_the_rough_truth_finds_plausible_nuclei():
    labels = rough_nuclei(immunohistochemistry())
    sizes = np.bincount(labels.ravel())[1:]
    sizes = sizes[sizes > 0]
    assert 200 < sizes.size < 450
    assert 100 < np.median(sizes) < 400


def test_windows_differ_and_lie_inside():
    windows = choose_windows((300, 200), 4, 64, seed=0)
    assert len(set(map(str, windows))) == 4
    assert all(0 <= y.start < y.stop <= 300 and 0 <= x.start < x.stop <= 200 for _, y, x in windows)
    assert windows == choose_windows((300, 200), 4, 64, seed=0)
    assert windows != choose_windows((300, 200), 4, 64, seed=1)


def test_the_scripted_user_puts_windows_right_and_leaves_the_rest(session, models):
    image, _ = demo_images(2, 192)
    session.select_model(models["instances"])
    image_id = session.add_image(ImageSource.from_array(image.source.data, "YX"))
    rng = np.random.default_rng(0)
    guess = np.where(rng.random(image.truth.shape) < 0.002, 900, 0)  # specks, to be deleted
    guess[:, :96] = image.truth[:, :96]  # right on the left side, nothing on the right
    guess[90:140, 20:120] = 901  # one blob over several nuclei
    session.import_labels(image_id, guess.astype(np.uint16), "YX", as_truth=False)
    before = session.labels_array(image_id).copy()
    windows = choose_windows(image.truth.shape, 4, 48, seed=0)
    done = correct(session, image_id, image.truth, windows)
    after, known = session.labels_array(image_id), session.known_mask(image_id)[0, 0]
    assert done.deleted > 0
    assert done.drawn > 0
    assert 0 < done.known < 0.6
    assert np.array_equal(after[~known], before[~known])
    inside = np.zeros(known.shape, bool)
    for _, y, x in windows:
        inside[y, x] = True
    assert known[inside].all()
    matches = match_objects(image.truth, after, 0.5, inside)
    assert matches.average_precision > 0.9
    while session.history.next_undo != "import labels":
        session.undo()
    assert not session.known_mask(image_id).any()
    assert np.array_equal(session.labels_array(image_id), before)
