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
