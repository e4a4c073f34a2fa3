"""The form that asks once what a model's file does not say, with the result on the open image beside it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import Qt, QTimer
from qtpy.QtGui import QImage, QPixmap
from qtpy.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QFormLayout,
    QFrame,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QVBoxLayout,
    QWidget,
)

from napari_unet.errors import UserError
from napari_unet.model.answers import Answers, answered
from napari_unet.model.saying import parsed
from napari_unet.viewer.widgets.answering import ActivationRow, MeaningRows, NormalizationRow, narrow_box
from napari_unet.viewer.widgets.parts import sentence_label

if TYPE_CHECKING:
    from napari_unet.session.asking import ModelQuestion
    from napari_unet.session.asking_tasks import Preview
    from napari_unet.viewer.link import ViewerLink

SIDE = 320  # pixels of the preview
SETTLE = 400  # ms after the last change before it is tried
ONCE = "You are asked once: the answers are kept beside the file and hold for exactly these weights."
AXES = (("Z, Y, X, as in microscopy", "ZYX"), ("X, Y, Z, as in files of NIfTI", "XYZ"))
VOXELS = {2: "Y, X, such as 0.25, 0.25", 3: "Z, Y, X, such as 1, 0.25, 0.25"}


class AskingDialog(QDialog):
    """Asks what nobody but the user knows about a model; *Cancel* leaves everything as it was.

    Parameters
    ----------
    link : ViewerLink
        The viewer and its session.
    parent : QWidget
        Where it belongs.
    question : ModelQuestion
        Which model, and what is asked.
    """

    def __init__(self, link: ViewerLink, parent: QWidget, question: ModelQuestion) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle(f"Open {Path(question.source).name}")
        self.link, self.session, self.question = link, link.session, question
        questions, header = question.questions, question.header
        earlier = questions.earlier
        self.form = QFormLayout()
        self.normalization = NormalizationRow(header.normalization, earlier.get("normalization", ""))
        self.activation = ActivationRow(header, earlier.get("activation", ""))
        self.meaning = MeaningRows(header, earlier)
        for name, row in (
            ("normalization", self.normalization),
            ("activation", self.activation),
            ("classes", self.meaning),
        ):
            if name in questions.unknown:
                row.add_to(self.form)
                row.changed.connect(self._changed)
            else:
                row.setParent(self)
                row.hide()
        self.arguments = {finding.argument: QLineEdit(finding.value) for finding in questions.arguments}
        for finding in questions.arguments:
            tip = f"“{finding.argument}” of the network, as the script that trained it gave it"
            self._add_line(finding.what.capitalize(), self.arguments[finding.argument], tip)
        self.voxels = QLineEdit(earlier.get("voxel_size", ""))
        self.voxels.setPlaceholderText("unknown")
        if header.voxel_size is None:
            self._add_line("Voxel size, µm", self.voxels, f"Of the images that it learned from: {VOXELS[header.ndim]}")
        self.axes = narrow_box()
        for text, value in AXES:
            self.axes.addItem(text, value)
        self.axes.setCurrentIndex(max(0, self.axes.findData(earlier.get("axes", "ZYX"))))
        self.axes.setToolTip("In which order the axes of the volumes were that it learned from")
        self.axes.activated.connect(lambda index: self._changed())
        if header.ndim == 3 and header.program is None:
            self.form.addRow("Axes", self.axes)
        self._lay_out()
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._try)
        self._timer.start(0)

    def _add_line(self, title: str, line: QLineEdit, tip: str) -> None:
        line.setToolTip(tip)
        line.setMaxLength(200)
        line.textChanged.connect(self._changed)
        self.form.addRow(title, line)

    def _lay_out(self) -> None:
        self.problem = sentence_label()
        self.problem.hide()
        self.picture = QLabel()
        self.picture.setFixedSize(SIDE, SIDE)
        self.picture.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.picture.setFrameShape(QFrame.Shape.StyledPanel)
        self.picture.setToolTip("The middle of what is on screen, as the model finds it with these answers")
        self.found = sentence_label("Trying it on the image…")
        self.buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel)
        self.buttons.button(QDialogButtonBox.StandardButton.Ok).setText("Open")
        self.buttons.accepted.connect(self.accept)
        self.buttons.rejected.connect(self.reject)
        left = QVBoxLayout()
        for text in (self.question.questions.sentence, ONCE):
            label = sentence_label(text)
            label.setMinimumWidth(340)
            left.addWidget(label)
        left.addLayout(self.form)
        left.addStretch(1)
        left.addWidget(self.problem)
        right = QVBoxLayout()
        right.addWidget(self.picture)
        right.addWidget(self.found)
        right.addStretch(1)
        both = QHBoxLayout()
        both.setSpacing(12)
        both.addLayout(left, 1)
        both.addLayout(right)
        layout = QVBoxLayout(self)
        layout.addLayout(both)
        layout.addWidget(self.buttons)

    # ---- what is said --------------------------------------------------------------------------

    def said(self) -> dict[str, str]:
        """Return what the form says, as texts; see `napari_unet.model.saying.parsed`."""
        questions = self.question.questions
        texts: dict[str, str] = {}
        for name, row in (
            ("normalization", self.normalization),
            ("activation", self.activation),
            ("classes", self.meaning),
        ):
            if name in questions.unknown:
                texts |= row.said()
        suggested = {finding.argument: finding.value for finding in questions.arguments}
        for name, line in self.arguments.items():
            if line.text().strip() != suggested[name]:
                texts[f"argument.{name}"] = line.text().strip()
        if self.voxels.text().strip():
            texts["voxel_size"] = self.voxels.text().strip()
        if self.axes.currentData() != "ZYX":
            texts["axes"] = str(self.axes.currentData())
        return texts

    def accept(self) -> None:
        """Open the model if the answers can be understood; else say what is wrong."""
        said = self.said()
        try:
            answered(self.question.header, parsed(said, Answers("")))
        except UserError as error:
            self._complain(error.message)
            return
        super().accept()
        self.link.run(lambda: self.session.answer(self.question, said))

    def done(self, result: int) -> None:
        """Close; the preview ends with the form."""
        self._timer.stop()
        self.session.stop_trying()
        super().done(result)

    def _complain(self, sentence: str) -> None:
        self.problem.setText(sentence)
        self.problem.setVisible(bool(sentence))

    # ---- the preview ---------------------------------------------------------------------------

    def _changed(self) -> None:
        self._complain("")
        self._timer.start(SETTLE)

    def _try(self) -> None:
        self.found.setText("Trying it on the image…")
        image = self.link.image
        try:
            image_id = image.need_base()
            t, view = image.base_view()
            self.session.try_answers(self.question, self.said(), image_id, t, view, self._show)
        except UserError as error:
            self.found.setText(f"Nothing to try it on: {error.message}")

    def _show(self, preview: Preview) -> None:
        self.found.setText(preview.sentence)
        if preview.picture is None:
            self.picture.clear()
            return
        picture = np.ascontiguousarray(preview.picture)
        height, width, _ = picture.shape
        image = QImage(picture.tobytes(), width, height, 3 * width, QImage.Format.Format_RGB888).copy()
        kept, smooth = Qt.AspectRatioMode.KeepAspectRatio, Qt.TransformationMode.SmoothTransformation
        inside = self.picture.contentsRect().size()
        self.picture.setPixmap(QPixmap.fromImage(image).scaled(inside, kept, smooth))
