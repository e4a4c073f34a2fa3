"""Classes are renamed in the list; the list always shows what the session has."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QLineEdit

from napari_unet.jobs import Job
from napari_unet.learning.decision import decide
from napari_unet.model.header import COLORS, ClassInfo
from napari_unet.session.state import JobView, Round


@pytest.fixture
def names(panel: Any, visible_viewer: Any, screen: Any) -> Any:
    """Return what tells the names on screen; the model has the classes glass and tissue."""
    visible_viewer.add_image(np.zeros((60, 70), np.uint8))
    panel.session.new_model((ClassInfo("glass", COLORS[0]), ClassInfo("tissue", COLORS[1])))
    screen.pump(0.1)

    def told() -> list[str]:
        shown = [panel.classes.list.item(row).text() for row in range(panel.classes.list.count())]
        assert shown == [info.name for info in panel.session.model.header.output.classes]
        return shown

    return told


def edit(panel: Any, screen: Any, row: int) -> QLineEdit:
    panel.classes.list.editItem(panel.classes.list.item(row))
    screen.pump(0.05)
    return panel.classes.list.findChild(QLineEdit)


def test_a_class_is_renamed_in_the_list(panel: Any, screen: Any, names: Any) -> None:
    editor = edit(panel, screen, 1)
    editor.setText(" gland ")
    panel.classes.refresh()  # as when a job ends meanwhile
    assert editor.text() == " gland "
    QTest.keyClick(editor, Qt.Key.Key_Return)
    screen.pump(0.1)
    assert names() == ["glass", "gland"]
    # A name that cannot be does not stay on screen.
    panel.classes.list.item(0).setText("gland")
    screen.pump(0.1)
    assert names() == ["glass", "gland"]
    assert "name of its own" in panel.message.sentence.text()


def test_names_are_fixed_only_while_a_round_waits(panel: Any, screen: Any, names: Any) -> None:
    session, item = panel.session, panel.classes.list.item(1)
    session.jobs["train"] = JobView(job=Job("train"))
    panel.classes.refresh()
    assert item.flags() & Qt.ItemFlag.ItemIsEditable
    item.setText("gland")
    screen.pump(0.1)
    assert names() == ["glass", "tissue"]
    assert "when the running job has ended" in panel.message.sentence.text()
    del session.jobs["train"]
    measured = Round(session.model, session.model, decide((), ()), steps=1)
    session.round = replace(measured, quick=True)
    panel.classes.refresh()
    assert item.flags() & Qt.ItemFlag.ItemIsEditable  # a quick refit gives way
    session.round = measured
    panel.classes.refresh()
    assert not item.flags() & Qt.ItemFlag.ItemIsEditable
    assert "Keep or Discard" in item.toolTip()
    session.round = None
    panel.classes.refresh()
    assert item.flags() & Qt.ItemFlag.ItemIsEditable
