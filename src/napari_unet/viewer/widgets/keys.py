"""A small window in which the user chooses other keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import QDialog, QDialogButtonBox, QFormLayout, QKeySequenceEdit, QVBoxLayout, QWidget

from napari_unet.errors import UserError
from napari_unet.viewer.keymap import default_keys, napari_use, normal, shown, twice
from napari_unet.viewer.widgets.parts import sentence_label

if TYPE_CHECKING:
    from napari_unet.viewer.keys import CanvasKeys


class KeysDialog(QDialog):
    """One field an action; it says what else a key does, and takes no key twice.

    Parameters
    ----------
    parent : QWidget
        Where it belongs.
    keys : CanvasKeys
        The keys to change.
    """

    def __init__(self, parent: QWidget, keys: CanvasKeys) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle("Keys on the canvas")
        self.keys = keys
        self.fields: dict[str, QKeySequenceEdit] = {}
        form = QFormLayout()
        for action in keys.offered:
            if not action.fixed:
                field = QKeySequenceEdit()
                field.setMaximumSequenceLength(1)
                field.setClearButtonEnabled(True)
                field.keySequenceChanged.connect(self._check)
                self.fields[action.name] = field
                form.addRow(action.what, field)
        self.note = sentence_label()
        self.note.setMinimumHeight(3 * self.note.fontMetrics().height())
        self.note.setAlignment(Qt.AlignmentFlag.AlignTop)
        kinds = QDialogButtonBox.StandardButton
        self.buttons = QDialogButtonBox(kinds.Ok | kinds.Cancel | kinds.RestoreDefaults)
        self.buttons.accepted.connect(self._take)
        self.buttons.rejected.connect(self.reject)
        self.buttons.button(kinds.RestoreDefaults).clicked.connect(lambda: self._show(default_keys()))
        layout = QVBoxLayout(self)
        layout.addLayout(form)
        layout.addWidget(self.note)
        layout.addWidget(self.buttons)
        self._show(keys.keys)

    def _show(self, keys: dict[str, str]) -> None:
        for name, field in self.fields.items():
            field.blockSignals(True)
            field.setKeySequence(QKeySequence(keys[name].replace("Control", "Ctrl").replace("-", "+")))
            field.blockSignals(False)
        self._check()

    def chosen(self) -> dict[str, str]:
        """Return the key of every action as the fields have it.

        Raises
        ------
        UserError
            If a field has no key that can be used.
        """
        chosen = dict(self.keys.keys)
        for name, field in self.fields.items():
            text = field.keySequence().toString(QKeySequence.SequenceFormat.PortableText)
            chosen[name] = normal(text)
        return chosen

    def _check(self) -> None:
        """Say what is wrong, or what napari would do with a key; only what is wrong keeps from OK."""
        ok = self.buttons.button(QDialogButtonBox.StandardButton.Ok)
        try:
            chosen = self.chosen()
        except UserError:
            self.note.setText("Every action needs a key: press one in the empty field.")
            ok.setEnabled(False)
            return
        same = twice(chosen)
        ok.setEnabled(same is None)
        if same is not None:
            key, first, second = same
            self.note.setText(f"{shown(key)} is there twice: “{first}” and “{second}”.")
            return
        usual = default_keys()
        taken = [
            f"{shown(key)} ({use})"
            for name, key in chosen.items()
            if key != usual[name] and (use := napari_use(key, type(self.keys.viewer)))
        ]
        text = f"napari's own {', '.join(taken)} will not work while the panel is open." if taken else ""
        self.note.setText(text)

    def _take(self) -> None:
        try:
            self.keys.choose(self.chosen())
        except UserError as error:
            self.note.setText(str(error))
            return
        self.accept()
