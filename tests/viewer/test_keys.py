"""The keys: listed, changed by the user, kept in a file, and given back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import QDialogButtonBox

from napari_unet.errors import UserError
from napari_unet.viewer.keymap import ACTIONS, default_keys, keys_file, load_keys, napari_use, normal, save_keys, twice
from napari_unet.viewer.widgets.keys import KeysDialog

OK = QDialogButtonBox.StandardButton.Ok


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep the keys of the user who runs the tests out of them."""
    monkeypatch.setenv("NAPARI_UNET_CONFIG", str(tmp_path / "config"))
    return tmp_path / "config"


def test_keys_are_kept_in_a_file() -> None:
    assert load_keys() == default_keys()
    keys = default_keys() | {"accept": "Shift-Q", "known": "Control-Alt-K"}
    save_keys(keys)
    assert load_keys() == keys
    assert json.loads(keys_file().read_text())["keys"] == {"accept": "Shift-Q", "known": "Control-Alt-K"}
    assert [path.name for path in keys_file().parent.iterdir()] == ["keys.json"], "no temporary file stays"
    save_keys(default_keys())
    assert load_keys() == default_keys()


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"keys": 3}', '{"keys": {"accept": "no key at all"}}', '{"keys": {"accept": ""}}']
)
def test_a_damaged_file_is_said(text: str) -> None:
    keys_file().parent.mkdir(parents=True)
    keys_file().write_text(text)
    with pytest.raises(UserError, match="cannot be read"):
        load_keys()


def test_what_the_file_may_not_do() -> None:
    keys_file().parent.mkdir(parents=True)
    for keys in ({"undo": "Q"}, {"unheard of": "Q"}, {"accept": "D"}):
        keys_file().write_text(json.dumps({"keys": keys}))
        assert load_keys() == default_keys()


def test_keys_are_told_apart() -> None:
    assert normal("shift+a") == normal("Shift-A") == "Shift-A"
    assert all(normal(action.key) == action.key for action in ACTIONS)
    assert twice(default_keys()) is None
    assert twice(default_keys() | {"accept": "D"})[0] == "D"
    for text in ("", "Foo", "Ctrl+K, Ctrl+S", "Shift", "+"):
        with pytest.raises(UserError):
            normal(text)


def test_the_panel_lists_the_keys_and_the_user_changes_them(panel: Any, visible_viewer: Any, screen: Any) -> None:
    visible_viewer.add_image(np.zeros((80, 90), np.float32), name="image")
    image_id = panel.link.image.need()
    labels = np.zeros((80, 90), np.uint32)
    labels[20:60, 20:60] = 1
    panel.session.import_labels(image_id, labels, "YX", as_truth=False)
    panel.session.history.clear()
    screen.pump(0.1)
    layer = panel.link.result().layer
    screen.push(panel.known.list_keys)
    text = panel.known.key_list.text.text()
    assert all(f"{panel.link.keys.key(action.name)}  {action.what}" in text for action in panel.link.keys.offered)
    screen.picture("keys")

    screen.push(panel.known.key_list.change)
    (dialog,) = panel.known.key_list.findChildren(KeysDialog)
    screen.pump(0.1)
    dialog.grab()
    fields = dialog.fields
    assert "undo" not in fields
    fields["delete"].setKeySequence(QKeySequence("A"))
    assert "twice" in dialog.note.text()
    assert not dialog.buttons.button(OK).isEnabled()
    fields["delete"].clear()
    assert "needs a key" in dialog.note.text()
    fields["delete"].setKeySequence(QKeySequence("E"))
    assert "E (activate labels erase mode)" in dialog.note.text()
    screen.push(dialog.buttons.button(OK))
    assert load_keys()["delete"] == "E"
    assert "E  Delete" in panel.known.key_list.text.text()

    panel.link.viewer.layers.selection.active = layer
    screen.move((40, 40))
    screen.key(Qt.Key.Key_D)
    assert layer.data.any(), "the old key does nothing"
    screen.key(Qt.Key.Key_E)
    assert not layer.data.any(), "ours goes before napari's own"
    assert layer.mode == "pan_zoom"
    panel.dispose()
    screen.key(Qt.Key.Key_E)
    assert layer.mode == "erase", "napari has its key back"
    assert not panel.link.viewer.keymap


def test_what_napari_does_with_a_key(visible_viewer: Any) -> None:
    kind = type(visible_viewer.__wrapped__)
    assert napari_use("M", kind) == "new label"
    assert napari_use("Control-G", kind) == "toggle grid"
    assert napari_use("Control-Shift-Alt-Q", kind) == ""
