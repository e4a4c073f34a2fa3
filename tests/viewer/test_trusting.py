"""The questions about code in a model file, and about a package."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog
from torch import nn

from napari_unet.model import consent
from napari_unet.model.checkpoint import load_checkpoint
from napari_unet.viewer.widgets.about_model import AboutDialog
from napari_unet.viewer.widgets.asking import AskingDialog
from napari_unet.viewer.widgets.trusting import CodeDialog


@pytest.fixture(autouse=True)
def nobody_said_yes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAPARI_UNET_CONFIG", str(tmp_path / "config"))
    monkeypatch.setattr(consent, "_named", set())


def test_code_runs_only_after_the_button_that_says_so(
    panel: Any, screen: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "<b>net.ts"
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.jit.trace(nn.Conv2d(1, 1, 3, padding=1), torch.zeros(1, 1, 16, 16)).save(str(path))
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *args: (str(path), ""))
    before = panel.session.model
    panel.model.open_file()
    dialog = panel.model.findChild(CodeDialog)
    assert dialog.isVisible() and dialog.textFormat() == Qt.TextFormat.PlainText
    assert dialog.question.sha256 in dialog.informativeText() and dialog.without is None
    assert dialog.defaultButton() is not dialog.run
    dialog.defaultButton().click()
    assert panel.session.model is before and not consent.remembered()
    panel.model.open_file()
    again = [one for one in panel.model.findChildren(CodeDialog) if one.isVisible()]
    again[0].run.click()
    (form,) = [one for one in panel.model.findChildren(AskingDialog) if one.isVisible()]
    assert "a guess" in form.question.questions.sentence
    form.accept()
    assert panel.session.model.header.name == "<b>net"
    assert len(consent.remembered()) == 1


def test_a_package_asks_for_authors_and_licence(
    panel: Any, visible_viewer: Any, screen: Any, nuclei: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    visible_viewer.add_image(nuclei[0], name="nuclei")
    target = tmp_path / "mine.zip"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *args: (str(target), ""))
    tried: list[bool] = []

    def fill(dialog: AboutDialog) -> bool:
        dialog.accept()
        tried.append(dialog.problem.isVisibleTo(dialog))
        dialog.authors.setPlainText("Somebody; An Institute\n")
        dialog.accept()
        return dialog.result() == AboutDialog.DialogCode.Accepted

    monkeypatch.setattr(AboutDialog, "exec", fill)
    screen.push(panel.export.model)
    assert tried == [True]
    assert load_checkpoint(target).header.name == panel.session.model.header.name


@pytest.mark.shared_data
def test_a_package_opens_as_a_folder(panel: Any, shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = shared_data / "weights" / "bioimageio_unet2d_fixed_shape"
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *args: str(package))
    panel.model.open_folder()
    assert panel.session.model.header.provenance["package_license"] == "CC-BY-4.0"
