"""Every tool of napari, used with a real mouse, is recorded: nothing that changed is missed."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_unet.viewer.lookup import bare_viewer
from napari_unet.viewer.strokes import StrokeRecorder


class Log:
    """A recorder's begins and ends."""

    def __init__(self, layer: Any) -> None:
        self.layer, self.begun, self.ends = layer, 0, []  # type: int, list[Sweep | None]
        self.recorder = StrokeRecorder(layer, lambda: (0, 1), self._begin, self.ends.append)
        self.before = layer.data.copy()

    def _begin(self) -> None:
        self.begun += 1

    def take(self) -> tuple[np.ndarray, np.ndarray]:
        """Return (swept, changed) since the last call, and check that each begin has its end."""
        assert self.begun == len(self.ends)
        assert not self.recorder.active
        swept, boxes = np.zeros(self.layer.data.shape, bool), np.zeros(self.layer.data.shape, bool)
        for sweep in self.ends:
            assert sweep is not None
            swept[sweep.box] |= sweep.mask
            boxes[sweep.box] = True
        changed = self.layer.data != self.before
        assert not (changed & ~boxes).any()
        self.begun, self.before = 0, self.layer.data.copy()
        self.ends.clear()
        return swept, changed


@pytest.fixture
def log(visible_viewer: Any, screen: Any) -> Log:
    data = np.zeros((200, 300), np.uint16)
    data[50:70, 50:80] = 5
    layer = bare_viewer(visible_viewer).add_labels(data)
    screen.pump(0.3)
    return Log(layer)


def test_paint_erase_and_fill(log: Log, screen: Any) -> None:
    layer = log.layer
    layer.selected_label, layer.mode, layer.brush_size = 7, "paint", 9
    screen.drag((20, 20), (30, 60), (50, 100))
    swept, changed = log.take()
    assert changed.sum() > 500
    assert np.array_equal(swept, changed)
    screen.drag((20, 20), (30, 60), (50, 100))
    again, changed = log.take()
    assert not changed.any()
    assert np.array_equal(again, swept), "painting what is there already confirms it"
    layer.mode = "erase"
    screen.drag((60, 60), (60, 75))
    swept, changed = log.take()
    assert changed.any()
    assert not (changed & ~swept).any()
    layer.mode, layer.selected_label = "fill", 9
    screen.click((52, 52))
    swept, changed = log.take()
    assert changed.any()
    assert np.array_equal(swept, changed)


def test_polygon_by_double_click_and_by_enter_after_escape(log: Log, screen: Any) -> None:
    layer = log.layer
    layer.mode, layer.selected_label = "polygon", 11
    for corner in ((100, 100), (100, 150), (140, 160)):
        screen.click(corner)
    screen.double_click((140, 160))
    swept, changed = log.take()
    assert changed.sum() > 500
    assert np.array_equal(swept, changed)
    layer.selected_label = 12
    for corner in ((10, 200), (10, 250)):
        screen.click(corner)
    screen.key(Qt.Key.Key_Escape)
    for corner in ((100, 200), (100, 250), (140, 260)):
        screen.click(corner)
    screen.move((150, 210))
    screen.key(Qt.Key.Key_Return)
    swept, changed = log.take()
    assert changed.sum() > 500
    assert np.array_equal(swept, changed), "corners dropped by Escape do not count"


def test_encircling_with_the_right_button(log: Log, screen: Any) -> None:
    layer = log.layer
    layer.mode, layer.selected_label, layer.brush_size = "paint", 20, 5
    screen.click((150, 60), button="right")
    for step in range(1, 33):
        angle = step / 32 * 2 * math.pi
        screen.move((130 + 20 * math.cos(angle), 60 + 20 * math.sin(angle)))
    swept, changed = log.take()
    assert changed.sum() > 1000
    assert (changed & ~swept).sum() < 20, "the rest is found as a difference inside the box"
    screen.click((150, 200), button="right")
    for step in range(6):
        screen.move((150 - 3 * step, 200))
    assert log.recorder.active
    screen.key(Qt.Key.Key_Escape)
    swept, changed = log.take()
    assert not swept.any()
    assert not changed.any()


def test_preserved_labels_are_not_swept(log: Log, screen: Any) -> None:
    layer = log.layer
    layer.mode, layer.selected_label, layer.brush_size, layer.preserve_labels = "paint", 7, 9, True
    screen.drag((60, 40), (60, 90))
    swept, changed = log.take()
    assert np.array_equal(swept, changed)
    assert (layer.data[50:70, 50:80] == 5).all()


def test_a_script_that_paints_is_noticed(log: Log, screen: Any) -> None:
    log.layer.paint((5, 5), 3)
    assert log.recorder.active
    screen.pump(0.02)
    assert log.ends == [None]
    log.recorder.close()
    log.layer.paint((15, 15), 3)
    screen.pump(0.02)
    assert log.ends == [None]
