"""The question whether code in a model file may run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QAbstractButton, QMessageBox, QWidget

from napari_unet.model.consent import NEVER

if TYPE_CHECKING:
    from napari_unet.session.trusting import CodeQuestion
    from napari_unet.viewer.link import ViewerLink


class CodeDialog(QMessageBox):
    """Says what running the code means; nothing runs unless the user says so.

    Parameters
    ----------
    link : ViewerLink
        The viewer and its session.
    parent : QWidget
        Where the question belongs.
    question : CodeQuestion
        About which code.
    """

    def __init__(self, link: ViewerLink, parent: QWidget, question: CodeQuestion) -> None:
        super().__init__(parent)
        self.link, self.question = link, question
        self.setIcon(QMessageBox.Icon.Warning)
        self.setWindowTitle("Code in a model file")
        self.setTextFormat(Qt.TextFormat.PlainText)  # file names are anybody's
        self.setText(question.sentence)
        self.setInformativeText(
            f"File: {Path(question.source).name}\nSHA-256: {question.sha256}\n\n"
            "A yes holds for exactly this code and is remembered on this computer."
        )
        self.run = self.addButton("Run it, I trust its author", QMessageBox.ButtonRole.AcceptRole)
        self.without = (
            self.addButton("Use its ONNX weights", QMessageBox.ButtonRole.ActionRole) if question.without else None
        )
        cancel = self.addButton(QMessageBox.StandardButton.Cancel)
        self.setDefaultButton(cancel)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.buttonClicked.connect(self._answered)

    def _answered(self, button: QAbstractButton) -> None:
        answer = self.question.sha256 if button is self.run else NEVER if button is self.without else None
        if answer is not None:
            source, session = self.question.source, self.link.session
            self.link.run(lambda: session.select_model(source, run_code=answer))
