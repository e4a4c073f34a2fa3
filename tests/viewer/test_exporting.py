"""What the buttons of the export section write, and what they leave alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from qtpy.QtWidgets import QFileDialog, QMessageBox


def test_a_file_that_the_dialog_did_not_ask_about_is_kept(
    panel: Any, visible_viewer: Any, screen: Any, nuclei: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    visible_viewer.add_image(nuclei[0], name="nuclei")
    screen.push(panel.segment.button)
    typed = tmp_path / "mine"
    asked: list[str] = []

    def answer(button: Any) -> None:
        def question(parent: Any, title: str, text: str) -> Any:
            asked.append(text)
            return button

        monkeypatch.setattr(QMessageBox, "question", question)

    def choose(path: Path) -> None:
        monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *args: (str(path), ""))

    for button, suffix in (
        (panel.export.labels, ".tif"),
        (panel.export.table, ".csv"),
        (panel.export.model, ".safetensors"),
    ):
        there = typed.with_suffix(suffix)
        choose(typed)
        screen.push(button)
        assert there.is_file()
        assert not asked
        there.write_bytes(b"precious")
        answer(QMessageBox.StandardButton.No)
        screen.push(button)
        assert there.read_bytes() == b"precious"
        assert there.name in asked.pop()
        answer(QMessageBox.StandardButton.Yes)
        screen.push(button)
        assert there.read_bytes() != b"precious"
        assert there.name in asked.pop()
        # About its full name the file dialog has asked.
        choose(there)
        there.write_bytes(b"old")
        screen.push(button)
        assert there.read_bytes() != b"old"
        assert not asked


def test_a_folder_of_labels_is_replaced_only_after_a_question(
    panel: Any, visible_viewer: Any, screen: Any, nuclei: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = nuclei[0]
    visible_viewer.add_image([image, image[::2, ::2]], multiscale=True, name="slide")
    screen.pump(0.2)
    screen.push(panel.segment.button)
    screen.wait_until(lambda: not panel.session.jobs)
    there = tmp_path / "slide_labels.ome.zarr"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *args: (str(there), ""))
    screen.push(panel.export.labels)
    assert (there / "zarr.json").is_file()
    (there / "note.txt").write_text("mine")
    answers = [QMessageBox.StandardButton.No, QMessageBox.StandardButton.Yes]
    monkeypatch.setattr(QMessageBox, "question", lambda *args: answers.pop(0))
    screen.push(panel.export.labels)
    assert (there / "note.txt").is_file() and len(answers) == 1
    screen.push(panel.export.labels)
    assert (there / "zarr.json").is_file() and not (there / "note.txt").exists()


def test_to_segment_a_large_image_again_is_asked_about(
    panel: Any, visible_viewer: Any, screen: Any, nuclei: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, session = nuclei[0], panel.session
    visible_viewer.add_image([image, image[::2, ::2]], multiscale=True, name="slide")
    screen.pump(0.2)
    screen.push(panel.segment.button)
    screen.wait_until(lambda: not session.jobs)
    image_id = panel.link.image.base_id
    assert not session.lost_by_segmenting(image_id), "a small one is there again in seconds"
    monkeypatch.setattr("napari_unet.session.pyramids.AREA_VOXELS", 100)
    started: list[object] = []
    monkeypatch.setattr(session, "segment", lambda *args, **options: started.append(args))
    asked: list[str] = []

    def answer(button: Any) -> None:
        monkeypatch.setattr(QMessageBox, "question", lambda parent, title, text: asked.append(text) or button)

    answer(QMessageBox.StandardButton.No)
    screen.push(panel.segment.button)
    assert not started and "cannot be undone" in asked.pop()
    answer(QMessageBox.StandardButton.Yes)
    screen.push(panel.segment.button)
    assert len(started) == 1 and asked.pop()
    panel.segment.scope.choice.setCurrentIndex(panel.segment.scope.choice.findData("view"))
    screen.push(panel.segment.button)
    assert len(started) == 2 and not asked, "what is in view is there again in seconds"
