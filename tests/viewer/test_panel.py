"""The panel: what it shows, asks and refuses, and what it leaves behind."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QAbstractButton, QLabel

from napari_unet.errors import UserError
from napari_unet.jobs import Job, JobRunner
from napari_unet.model.header import COLORS, ClassInfo
from napari_unet.session.state import JobView
from napari_unet.viewer.lookup import session_of, use_session
from napari_unet.viewer.widgets.panel import UNetPanel

OPEN_THE_PANEL = """
import sys
import numpy as np
import napari
viewer = napari.Viewer(show=False)
viewer.add_image(np.zeros((40, 50)))
from napari_unet.viewer.widgets.panel import UNetPanel
panel = UNetPanel(viewer)
viewer.window.add_dock_widget(panel, name="U-Net")
slow = ("torch", "scipy.optimize", "scipy.sparse", "skimage.filters")
print("imported:", [name for name in slow if name in sys.modules])
panel.dispose()
viewer.close()
"""


def test_opening_imports_nothing_slow() -> None:
    done = subprocess.run([sys.executable, "-c", OPEN_THE_PANEL], capture_output=True, text=True, timeout=120)
    assert "imported: []" in done.stdout, done.stdout + done.stderr


def test_every_disabled_button_says_what_is_missing(panel: Any, visible_viewer: Any, screen: Any) -> None:
    def mute() -> list[str]:
        buttons = panel.findChildren(QAbstractButton)
        return [b.text() for b in buttons if not b.isEnabled() and b.isVisible() and not b.toolTip()]

    assert not mute()
    assert not panel.segment.button.isEnabled()
    assert "no image" in panel.segment.button.toolTip()
    visible_viewer.add_image(np.zeros((40, 50), np.uint8))
    screen.pump(0.05)
    assert panel.segment.button.isEnabled()
    assert not mute()
    assert "Nothing is known" in panel.retrain.button.toolTip()


def test_texts_are_plain(panel: Any) -> None:
    panel.session.events.message.emit("error", "<b>no markup</b>", "the details")
    assert panel.message.isVisible()
    assert panel.message.sentence.textFormat() == Qt.TextFormat.PlainText
    assert panel.message.details.isVisible()
    free = [label for label in panel.findChildren(QLabel) if label.wordWrap()]
    assert free
    assert all(label.textFormat() == Qt.TextFormat.PlainText for label in free)


@pytest.mark.parametrize(("level", "stays"), [("info", False), ("error", True)])
def test_what_was_said_goes_when_training_starts_but_for_an_error(panel: Any, level: str, stays: bool) -> None:
    panel.session.events.message.emit(level, "Paint what is wrong, then click Retrain.", "")
    assert panel.message.isVisible()
    panel.session.jobs["train"] = JobView(job=Job("train"))
    panel.session.events.job_changed.emit("train")
    assert panel.message.isVisible() == stays
    del panel.session.jobs["train"]
    panel.session.events.job_changed.emit("train")


def test_unclear_axes_are_asked_once(panel: Any, visible_viewer: Any, screen: Any) -> None:
    layer = visible_viewer.add_image(np.zeros((12, 40, 50), np.uint8), name="stack")
    screen.pump(0.05)
    boxes = panel.image.question.boxes
    assert panel.image.question.isVisible()
    assert [box.currentData() for box in boxes][1:] == ["Y", "X"]
    assert not panel.segment.button.isEnabled()
    boxes[0].setCurrentIndex(boxes[0].findData("T"))
    screen.push(panel.image.question.use)
    assert not panel.image.question.isVisible()
    assert panel.link.image.source.axes == "TYX"
    assert layer.metadata["napari_unet"]["axes"] == "TYX"
    assert "12 times" in panel.image.facts.text()


def test_the_image_follows_the_selection_unless_pinned(panel: Any, visible_viewer: Any, screen: Any) -> None:
    first = visible_viewer.add_image(np.zeros((40, 50)), name="first")
    visible_viewer.add_image(np.zeros((40, 50)), name="second")
    assert panel.image.choice.currentText() == "second"
    layers = panel.link.viewer.layers
    layers.selection.active = layers["first"]
    assert panel.image.choice.currentText() == "first"
    screen.push(panel.image.pin)
    visible_viewer.add_image(np.zeros((40, 50)), name="third")
    assert panel.image.choice.currentText() == "first"
    visible_viewer.layers.remove(first)
    assert panel.image.choice.currentText() in ("second", "third")


def test_a_result_that_is_removed_or_replaced_is_never_written_into(
    panel: Any, visible_viewer: Any, screen: Any, nuclei: Any
) -> None:
    visible_viewer.add_image(nuclei[0], name="nuclei")
    screen.push(panel.segment.button)
    layer = panel.link.result().layer
    other = np.zeros(nuclei[0].shape, np.uint32)
    layer.data = other
    assert panel.link.result() is None
    screen.push(panel.segment.button)
    assert not other.any()
    again = panel.link.result()
    assert again is not None
    assert again.layer is not layer
    panel.link.viewer.layers.remove(again.layer)
    assert panel.link.result() is None
    screen.push(panel.segment.button)
    assert panel.link.result().layer.data.any()


def test_segment_waits_for_the_decision_on_a_round(panel: Any, visible_viewer: Any, screen: Any, nuclei: Any) -> None:
    visible_viewer.add_image(nuclei[0], name="nuclei")
    screen.push(panel.segment.button)
    image_id, labels = panel.link.image.need(), panel.link.result().layer.data
    y, x = np.argwhere(labels)[0]
    panel.session.accept_object(image_id, 0, (0, int(y), int(x)))
    panel.session.retrain(steps=2)
    assert panel.session.round is not None
    assert not panel.segment.button.isEnabled()
    assert "Keep or Discard" in panel.segment.button.toolTip()
    panel.session.discard()
    assert panel.segment.button.isEnabled()


def test_a_failing_job_is_one_sentence(panel: Any, visible_viewer: Any, screen: Any) -> None:
    class Broken:
        shape, dtype, ndim = (40, 50), np.dtype(np.uint8), 2

        def __getitem__(self, key: Any) -> Any:
            raise OSError("the disk is gone")

    visible_viewer.add_image(np.zeros((40, 50), np.uint8), name="on a stick")
    image = panel.link.image
    object.__setattr__(image.source, "data", Broken())
    screen.push(panel.segment.button)
    assert "could not be read" in panel.message.sentence.text()
    assert "Traceback" not in panel.message.sentence.text()
    assert not panel.session.jobs
    result = panel.link.result()
    assert result is None or not result.layer.data.any()


def test_classes_of_a_new_model(panel: Any, visible_viewer: Any, screen: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    classes = (ClassInfo("glass", COLORS[0]), ClassInfo("tissue", COLORS[1]))
    monkeypatch.setattr("napari_unet.viewer.widgets.model.ask_classes", lambda *args: ("tissues", classes))
    visible_viewer.add_image(np.random.default_rng(0).integers(0, 255, (60, 70, 3), dtype=np.uint8), rgb=True)
    assert not panel.classes.isVisible()
    panel.model.start_from_strokes()
    screen.pump(0.1)
    assert panel.session.model.untrained
    assert panel.classes.isVisible()
    assert [panel.classes.list.item(row).text() for row in range(2)] == ["glass", "tissue"]
    layer = panel.link.result().layer
    assert layer.data.dtype == np.uint16
    assert "stroke in each class" in panel.segment.button.toolTip()
    panel.classes.list.itemClicked.emit(panel.classes.list.item(1))
    assert (layer.selected_label, layer.mode) == (1, "paint")
    screen.push(panel.classes.add)
    screen.pump(0.1)
    assert panel.classes.list.count() == 3


def test_labels_are_imported_from_a_layer(panel: Any, visible_viewer: Any, nuclei: Any) -> None:
    visible_viewer.add_image(nuclei[0], name="nuclei")
    truth = visible_viewer.add_labels(nuclei[1].astype(np.uint16), name="truth")
    panel.export._import(truth, True)
    assert np.array_equal(panel.link.result().layer.data, nuclei[1])
    assert panel.session.known_counts(panel.link.image.image_id)[0] == nuclei[1].size


def test_the_known_overlay_is_not_editable_and_goes(panel: Any, visible_viewer: Any, screen: Any, nuclei: Any) -> None:
    visible_viewer.add_image(nuclei[0], name="nuclei")
    screen.push(panel.segment.button)
    panel.link.accept_view()
    screen.push(panel.known.eye)
    screen.wait_until(lambda: panel.link.overlay.layer.data.any(), 5)
    overlay = panel.link.overlay.layer
    assert not overlay.editable
    assert visible_viewer.layers.selection.active.name == "nuclei"
    panel.link.undo()
    screen.wait_until(lambda: not overlay.data.any(), 5)
    screen.push(panel.known.eye)
    assert [layer.name for layer in visible_viewer.layers] == ["nuclei", "nuclei labels"]
    screen.push(panel.known.eye)
    panel.dispose()
    assert [layer.name for layer in visible_viewer.layers] == ["nuclei", "nuclei labels"]


def test_closing_and_opening_the_panel_loses_nothing(panel: Any, visible_viewer: Any, screen: Any, nuclei: Any) -> None:
    visible_viewer.add_image(nuclei[0], name="nuclei")
    screen.push(panel.segment.button)
    panel.link.accept_view()
    known = panel.session.known_counts(panel.link.image.image_id)
    visible_viewer.window.remove_dock_widget(panel)
    assert panel._disposed
    assert not panel.link.keys.link.viewer.keymap
    again = UNetPanel(visible_viewer)
    visible_viewer.window.add_dock_widget(again, name="U-Net")
    assert again.session is panel.session
    assert again.session.known_counts(again.link.image.image_id) == known
    again.link.result().layer.paint((3, 3), 9)
    screen.pump(0.05)
    assert again.session.history.next_undo == "edit"
    again.dispose()


def test_one_session_a_viewer(visible_viewer: Any) -> None:
    session = session_of(visible_viewer)
    assert session_of(visible_viewer) is session
    with pytest.raises(ValueError, match="already"):
        use_session(visible_viewer, session)
    assert isinstance(session.runner, JobRunner)


def test_the_panel_fits_a_small_window(panel: Any) -> None:
    assert panel.minimumSizeHint().width() <= 300
    assert panel.minimumSizeHint().height() <= 600
    # 300 less the margins and the scroll bar: nothing is cut off.
    wide = {type(section).__name__: section.minimumSizeHint().width() for section in panel.sections}
    assert max(wide.values()) <= 278, wide


def test_errors_of_commands_become_messages(panel: Any) -> None:
    def command() -> None:
        raise UserError("It is so.", "Do that.")

    assert panel.link.run(command) is None
    assert panel.message.sentence.text() == "It is so. Do that."


def test_devices_and_channels(panel: Any, visible_viewer: Any, screen: Any) -> None:
    panel.session.find_devices(panel.model.offer_devices)
    names = [panel.model.device.itemText(i) for i in range(panel.model.device.count())]
    assert names[0] == "auto"
    assert "cpu" in names
    assert panel.model.device.currentText() == "auto"
    visible_viewer.add_image(np.zeros((2, 40, 50), np.uint8), axis_labels=("c", "y", "x"))
    screen.pump(0.05)
    assert "Choose one channel" in panel.segment.note.text()
    assert not panel.segment.button.isEnabled()
    panel.link.image.choose_channels((1,))
    assert panel.segment.button.isEnabled()
