"""Earlier work on the screen again, and strokes that are saved while they are painted."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
import tifffile
import zarr
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_unet.io.images import read_image
from napari_unet.jobs import JobRunner
from napari_unet.session import Session
from napari_unet.viewer.reader import read

from .conftest import BUTTONS, pump

BOX = (slice(0, 1), slice(20, 40), slice(50, 90))


@pytest.fixture(autouse=True)
def home(work_home):
    return work_home


def corrected(file):
    """Correct an image in a project, close that, and return its folder."""
    session = Session(JobRunner("inline"))
    image_id = session.add_image(read_image(file))
    session.start_with("nuclei-2d")
    session.ensure_labels(image_id)
    session.begin_stroke(image_id)
    session.labels_array(image_id)[20:40, 50:90] = 7
    session.end_stroke(image_id, 0, BOX, None)
    session.save()
    path = session.project_path
    session.close()
    return path


@pytest.fixture
def earlier(tmp_path, nuclei):
    """A project with one corrected image, closed; its folder and the image file."""
    file = tmp_path / "field.tif"
    tifffile.imwrite(file, nuclei[0])
    return corrected(file), file


def of_kind(viewer, kind):
    return [layer for layer in viewer.layers if type(layer).__name__ == kind]


def test_one_click_brings_the_last_project_back(earlier, panel, visible_viewer, screen):
    path, _ = earlier
    panel.project.look()
    assert "field" in panel.project.reopen.toolTip()
    screen.push(panel.project.reopen)
    (image,), (labels,) = of_kind(visible_viewer, "Image"), of_kind(visible_viewer, "Labels")
    assert image.name == "field"
    assert (labels.data[20:40, 50:90] == 7).all()
    assert panel.session.project_path == path
    assert panel.project.name.text() == path.name
    assert panel.link.image.image_id == "field-1"
    assert np.shares_memory(labels.data, panel.session.labels_array("field-1"))
    visible_viewer.layers.selection.active = labels
    labels.mode, labels.selected_label, labels.brush_size = "paint", 9, 6
    screen.drag((100, 50), (100, 90))
    assert panel.session.labels("field-1").truth.known[0, 0, 100, 70]
    assert panel.project.name.status().endswith("s ago") or "saving" in panel.project.name.status()
    screen.picture("project-reopened")


def test_an_image_that_is_open_is_used(earlier, panel, visible_viewer, screen):
    path, file = earlier
    ((data, arguments, _),) = read(file)
    layer = visible_viewer.add_image(data, **arguments, metadata={"napari_unet": {"path": str(file)}})
    panel.link.projects.open(path)
    assert len(of_kind(visible_viewer, "Image")) == 1
    assert panel.link.image.layer == layer
    assert len(of_kind(visible_viewer, "Labels")) == 1


def test_the_work_before_goes_off_the_screen_and_comes_back(earlier, panel, visible_viewer, nuclei):
    path, _ = earlier
    visible_viewer.add_image(nuclei[0][:80, :90], name="field")
    panel.link.start_labels()
    first = panel.link.image.image_id
    assert first == "field-1"  # the same id as in the project
    panel.session.begin_stroke(first)
    panel.session.labels_array(first)[5:9, 5:9] = 3
    panel.session.end_stroke(first, 0, (slice(0, 1), slice(5, 9), slice(5, 9)), None)
    before = panel.session.project_path
    panel.link.projects.open(path)
    (labels,) = of_kind(visible_viewer, "Labels")
    assert labels.data.shape == nuclei[0].shape
    panel.link.projects.open(before)
    (labels,) = of_kind(visible_viewer, "Labels")
    assert labels.data.shape == (80, 90)
    assert (labels.data[5:9, 5:9] == 3).all()


def test_a_missing_image_is_pointed_to_anew(earlier, panel, visible_viewer, tmp_path, monkeypatch, screen):
    path, file = earlier
    moved = file.rename(tmp_path / "moved.tif")
    panel.project._open(path)
    assert panel.project.missing.isVisibleTo(panel)
    assert "field" in panel.project.missing_text.text()
    assert "no longer at" in panel.message.sentence.text()
    ask = "napari_unet.viewer.widgets.project.QFileDialog.getOpenFileName"
    monkeypatch.setattr(ask, lambda *a: (str(moved), ""))
    screen.push(panel.project.find)
    assert not panel.project.missing.isVisibleTo(panel)
    (labels,) = of_kind(visible_viewer, "Labels")
    assert (labels.data[20:40, 50:90] == 7).all()


def test_a_missing_ome_zarr_is_pointed_to_as_a_folder(panel, visible_viewer, nuclei, tmp_path, monkeypatch, screen):
    path = tmp_path / "stack.zarr"
    group = zarr.create_group(str(path), zarr_format=2)
    group.create_array("0", data=nuclei[0])
    axes = [{"name": name, "type": "space", "unit": "micrometer"} for name in "yx"]
    group.attrs["multiscales"] = [{"axes": axes, "datasets": [{"path": "0"}]}]
    project = corrected(path)
    moved = path.rename(tmp_path / "elsewhere.zarr")
    panel.project._open(project)
    ask = "napari_unet.viewer.widgets.project.QFileDialog.getExistingDirectory"
    monkeypatch.setattr(ask, lambda *a: str(moved))
    screen.push(panel.project.find)
    (labels,) = of_kind(visible_viewer, "Labels")
    assert (labels.data[20:40, 50:90] == 7).all()


def test_moving_from_the_panel(earlier, panel, tmp_path, monkeypatch, screen):
    panel.project._open(earlier[0])
    (tmp_path / "new").mkdir()
    ask = "napari_unet.viewer.widgets.project.QFileDialog.getExistingDirectory"
    monkeypatch.setattr(ask, lambda *a: str(tmp_path / "new"))
    panel.project.toggle.setChecked(True)
    screen.push(panel.project.move_button)
    assert panel.session.project_path.parent == tmp_path / "new"


def test_a_long_stroke_is_saved_before_it_ends(earlier, panel, visible_viewer, screen, monkeypatch):
    monkeypatch.setattr("napari_unet.viewer.strokes.SO_FAR_INTERVAL", 100)
    panel.project._open(earlier[0])
    (labels,) = of_kind(visible_viewer, "Labels")
    visible_viewer.layers.selection.active = labels
    labels.mode, labels.selected_label, labels.brush_size = "paint", 9, 6
    held = partial(QTest.mousePress, screen.canvas, BUTTONS["left"], Qt.KeyboardModifier.NoModifier)
    screen.move((100, 50))
    held(screen.at((100, 50)))
    for column in (60, 70, 80, 90):
        screen.move((100, column))
        pump(0.15)
    panel.session._store.finish()
    import shutil

    copy = panel.session.project_path.with_name("copy")
    shutil.copytree(panel.session.project_path, copy)
    QTest.mouseRelease(screen.canvas, BUTTONS["left"], Qt.KeyboardModifier.NoModifier, screen.at((100, 90)))
    pump(0.1)
    again = Session(JobRunner("inline"))
    again.open_project(copy)
    truth = again.labels("field-1").truth
    assert (truth.labels[0, 0, 100, 50:85] == 9).all()
    assert truth.known[0, 0, 100, 50:85].all()
    assert len(panel.session.history._done) == 1  # one step, however often it was saved
    again.close()


LEAVES = """
import sys

import napari

viewer = napari.Viewer()
viewer.open(sys.argv[1], plugin="napari-unet-interactive")
_, panel = viewer.window.add_plugin_dock_widget("napari-unet-interactive")
session = panel.session
image_id = session.add_image(panel.link.image.source)
session.ensure_labels(image_id)
session.begin_stroke(image_id)
session.labels_array(image_id)[20:40, 50:90] = 7
session.end_stroke(image_id, 0, (slice(0, 1), slice(20, 40), slice(50, 90)), None)
"""


@pytest.mark.parametrize("end", ["", "viewer.close()"])
def test_a_program_that_ends_loses_no_stroke(end, tmp_path, nuclei):
    file = tmp_path / "field.tif"
    tifffile.imwrite(file, nuclei[0])
    home = tmp_path / "home"
    done = subprocess.run(
        [sys.executable, "-c", LEAVES + end, file],
        env=os.environ | {"NAPARI_UNET_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "")
    (project,) = home.iterdir()
    session = Session(JobRunner("inline"))
    session.open_project(project)
    assert (session.labels_array("field-1")[20:40, 50:90] == 7).all()
    session.close()
