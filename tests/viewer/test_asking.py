"""The form that asks once what a model's file does not say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from qtpy.QtWidgets import QFileDialog

from napari_unet.model.answers import SUFFIX
from napari_unet.model.families.residual3d import ResidualUNet
from napari_unet.viewer.widgets.asking import AskingDialog


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "<b>best.pytorch"
    torch.manual_seed(0)
    torch.save({"model_state_dict": ResidualUNet(2, 1, 3, [4, 8], "gcr", 4).state_dict()}, path)
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *args: (str(path), ""))
    return path


def shown(panel: Any) -> AskingDialog:
    """The form on screen."""
    (form,) = [one for one in panel.model.findChildren(AskingDialog) if one.isVisible()]
    return form


def choose(box: Any, value: str) -> None:
    """Take an entry of a list, as a click does."""
    index = box.findData(value)
    box.setCurrentIndex(index)
    box.activated.emit(index)


def test_the_form_asks_shows_and_remembers(
    panel: Any, visible_viewer: Any, screen: Any, nuclei: Any, file: Path
) -> None:
    visible_viewer.add_image(nuclei[0], name="nuclei")
    layers = list(visible_viewer.layers)
    before = panel.session.model
    panel.model.open_file()
    form = shown(panel)
    screen.wait_until(lambda: form.picture.pixmap() is not None and not form.picture.pixmap().isNull(), 20)
    assert form.found.text().startswith(("Here: ", "With these answers"))
    assert form.said()["classes"] == "background,class 1,class 2" and "normalization" not in form.said()
    screen.picture("asking")
    choose(form.normalization.method, "percentile")
    form.normalization.second.setValue(99.0)
    choose(form.activation.choice, "sigmoid")
    choose(form.meaning.kind, "channels")
    form.meaning.inside.setCurrentIndex(2)
    form.arguments["num_groups"].setText("three")
    form.voxels.setText("half")
    form.accept()
    assert form.isVisible() and "voxel_size=half" in form.problem.text()
    form.voxels.setText("0.5, 0.25")
    assert not form.problem.isVisible()
    screen.wait_until(lambda: "num_groups" in form.found.text(), 20)
    form.arguments["num_groups"].setText("4")
    assert panel.session.model is before and list(visible_viewer.layers) == layers
    screen.push(form.buttons.button(form.buttons.StandardButton.Ok))
    header = panel.session.model.header
    assert header.output.channels == ("channel 0", "boundary", "interior")
    assert (header.normalization.method, header.normalization.high) == ("percentile", 99.0)
    assert header.voxel_size == (0.5, 0.25) and header.blueprint.arguments["groups"] == 4
    assert file.with_name(file.name + SUFFIX).is_file()
    panel.model.open_file()
    assert not [one for one in panel.model.findChildren(AskingDialog) if one.isVisible()]


def test_cancel_leaves_everything_as_it_was(panel: Any, screen: Any, file: Path) -> None:
    before = panel.session.model
    panel.model.open_file()
    form = shown(panel)
    screen.wait_until(lambda: "Nothing to try it on" in form.found.text())
    screen.push(form.buttons.button(form.buttons.StandardButton.Cancel))
    assert panel.session.model is before and not panel.session.jobs
    assert [path.name for path in file.parent.glob("*.json")] == []


def test_earlier_answers_stand_in_the_form(panel: Any, screen: Any, file: Path) -> None:
    panel.model.open_file()
    form = shown(panel)
    choose(form.normalization.method, "fixed:0:255")
    choose(form.meaning.kind, "channels")
    form.accept()
    torch.manual_seed(1)
    torch.save({"model_state_dict": ResidualUNet(2, 1, 3, [4, 8], "gcr", 4).state_dict()}, file)
    screen.pump()
    panel.model.open_file()
    again = shown(panel)
    assert again.said()["normalization"] == "fixed:0:255"
    assert again.said()["channels"] == "interior,boundary,channel 2"
    again.reject()
