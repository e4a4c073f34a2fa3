"""Messages: one sentence in the panel, the details one click away."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtGui import QColor, QPainter, QPen
from qtpy.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QFrame,
    QHBoxLayout,
    QPlainTextEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_unet.viewer.widgets.icons import IconButton
from napari_unet.viewer.widgets.parts import sentence_label

ERROR_COLOR, INFO_COLOR = "#d55e00", "#0072b2"


class MessageBar(QFrame):
    """One sentence at the foot of the panel; the details are one click away."""

    def __init__(self) -> None:
        super().__init__()
        self._color = QColor(INFO_COLOR)
        self.sentence = sentence_label()
        self.details = QPushButton("Details")
        self.details.clicked.connect(self._show_details)
        self.close_button = IconButton("cross", "Close this message", self.hide)
        self._text, self._level = "", "info"
        layout = QHBoxLayout(self)
        layout.setContentsMargins(10, 3, 3, 3)
        layout.setSpacing(4)
        layout.addWidget(self.sentence, 1)
        layout.addWidget(self.details, 0, Qt.AlignmentFlag.AlignTop)
        layout.addWidget(self.close_button, 0, Qt.AlignmentFlag.AlignTop)
        self.hide()

    def say(self, level: str, sentence: str, details: str) -> None:
        """Show a sentence.

        Parameters
        ----------
        level : {"info", "error"}
            Errors stand out.
        sentence : str
            Plain text.
        details : str
            What the button shows, such as a traceback; empty for nothing.
        """
        # Painted: to set a style sheet makes Qt style the whole panel again, which takes it 50 ms.
        self._color = QColor(ERROR_COLOR if level == "error" else INFO_COLOR)
        self.update()
        self.sentence.setText(sentence)
        self._text, self._level = details, level
        self.details.setVisible(bool(details))
        self.show()

    def be_done(self) -> None:
        """Take the sentence away, unless it is an error: what it asked for is under way."""
        if self._level != "error":
            self.hide()

    def paintEvent(self, event: Any) -> None:
        """Draw a frame in the colour of the level, wide on the left."""
        super().paintEvent(event)
        painter = QPainter(self)
        painter.setPen(QPen(self._color, 1))
        painter.drawRect(self.rect().adjusted(0, 0, -1, -1))
        painter.fillRect(0, 0, 4, self.height(), self._color)
        painter.end()

    def _show_details(self) -> None:
        show_text(self, "Details", self._text)


def show_text(parent: QWidget, title: str, text: str) -> None:
    """Open a window with plain text that can be copied.

    Parameters
    ----------
    parent : QWidget
        Where it belongs.
    title : str
        Title of the window.
    text : str
        What it shows.
    """
    dialog = QDialog(parent)
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    dialog.setWindowTitle(title)
    dialog.resize(560, 360)
    view = QPlainTextEdit(text)
    view.setReadOnly(True)
    buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
    buttons.rejected.connect(dialog.reject)
    layout = QVBoxLayout(dialog)
    layout.addWidget(view)
    layout.addWidget(buttons)
    dialog.open()
