"""What the buttons of the export section write, and what they leave alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from qtpy.QtWidgets import QFileDialog


def test_a_file_that_the_dialog_did_not_ask_about_is_kept(
    panel: Any, visible_viewer: Any, screen: Any, nuclei: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    visible_viewer.add_image(nuclei[0], name="nuclei")
    screen.push(panel.segment.button)
    typed = tmp_path / "mine"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *args: (str(typed), ""))
    for button, suffix in (
        (panel.export.labels, ".tif"),
        (panel.export.table, ".csv"),
        (panel.export.model, ".safetensors"),
    ):
        there = typed.with_suffix(suffix)
        there.write_bytes(b"precious")
        screen.push(button)
        assert there.read_bytes() == b"precious"
        assert there.name in panel.message.sentence.text()
        # Asked about by its full name, it goes.
        monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *args, path=there: (str(path), ""))
        screen.push(button)
        assert there.read_bytes() != b"precious"
        there.unlink()
        monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *args: (str(typed), ""))
        screen.push(button)
        assert there.is_file()
