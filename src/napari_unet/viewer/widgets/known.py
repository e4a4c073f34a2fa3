"""The section of what is known: counter, overlay, accept, undo, and the list of keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QLabel, QPushButton

from napari_unet.viewer.keys import KEYS
from napari_unet.viewer.widgets.icons import IconButton
from napari_unet.viewer.widgets.parts import Section, SplitButton, enable, sentence_label

if TYPE_CHECKING:
    from napari_unet.viewer.link import ViewerLink

THIN_SPACE = "\u202f"


class KnownSection(Section):
    """How much is known, and the commands that make more of it known or take a step back.

    Parameters
    ----------
    link : ViewerLink
        The viewer and its session.
    """

    def __init__(self, link: ViewerLink) -> None:
        super().__init__("Known")
        self.link, self.session = link, link.session
        self.counter = QLabel()
        self.eye = IconButton("eye", "Show what is known (K)", link.toggle_known, checkable=True)
        self.header.addWidget(self.counter, 1)
        self.header.addWidget(self.eye)
        self.accept = SplitButton(
            "Accept view", link.accept_view, (("View (Shift-A)", link.accept_view), ("Slice", link.accept_slice))
        )
        self.accept.more.setToolTip("Accept the view or the slice; an object: point at it and press A")
        self.undo = QPushButton("Undo")
        self.undo.clicked.connect(lambda: link.undo())
        self.redo = QPushButton("Redo")
        self.redo.clicked.connect(lambda: link.redo())
        self.keys = IconButton("keys", "List the keys", self._toggle_keys, checkable=True)
        row = self.row(self.accept, self.undo, self.redo, self.keys)
        row.insertStretch(3, 1)
        self.key_list = sentence_label(
            "\n".join(f"{key.replace('Control', 'Ctrl')}  {what}" for key, what in KEYS), dim=True
        )
        self.key_list.hide()
        self.body.addWidget(self.key_list)
        self.painting = sentence_label()
        self.body.addWidget(self.painting)
        self.refresh()

    def _toggle_keys(self) -> None:
        self.key_list.setVisible(self.keys.isChecked())

    def show_overlay(self, shown: bool) -> None:
        """Let the eye button follow the overlay."""
        self.eye.blockSignals(True)
        self.eye.setChecked(shown)
        self.eye.blockSignals(False)

    def refresh(self) -> None:
        """Show what is known of the current image."""
        image_id, history = self.link.image.image_id, self.session.history
        labels = None if image_id is None else self.session.labels(image_id)
        voxels, regions = (0, 0) if labels is None or image_id is None else self.session.known_counts(image_id)
        text = f"{voxels:,} px".replace(",", THIN_SPACE) + f" · {regions} region{'' if regions == 1 else 's'}"
        self.counter.setText(text if voxels else "nothing yet")
        self.counter.setToolTip("Voxels that you painted, passed over or accepted; only these teach the model")
        none = "" if labels is not None else "The image has no labels yet: click Segment first."
        enable(self.eye, none, "Show what is known (K)")
        enable(self.accept.more, none, "Accept the view or the slice; an object: point at it and press A")
        enable(self.accept.button, none, "Make what is on screen known as it is (Shift-A); ▾ for more")
        undo, redo = history.next_undo, history.next_redo
        enable(self.undo, "" if undo else "There is nothing to undo.", f"Undo: {undo} (Ctrl-Z)")
        enable(self.redo, "" if redo else "There is nothing to redo.", f"Redo: {redo} (Ctrl-Shift-Z)")
        problem = self.link.painting_problem()
        self.painting.setText(problem)
        self.painting.setVisible(bool(problem))
