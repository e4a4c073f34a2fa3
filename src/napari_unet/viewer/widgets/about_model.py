"""What is asked before a model is handed on as a package: authors, licence, description."""

from __future__ import annotations

from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFormLayout,
    QLineEdit,
    QPlainTextEdit,
    QVBoxLayout,
    QWidget,
)

from napari_unet.errors import UserError
from napari_unet.model.exporting.about import LICENSES, About
from napari_unet.viewer.widgets.parts import sentence_label


class AboutDialog(QDialog):
    """Asks who made a model, and on what terms it is handed on.

    Parameters
    ----------
    parent : QWidget
        Where it belongs.
    name : str
        Of the model.
    """

    def __init__(self, parent: QWidget, name: str) -> None:
        super().__init__(parent)
        self.setWindowTitle(f"Hand on {name}")
        self.authors = QPlainTextEdit()
        self.authors.setPlaceholderText("one a line: Name; Affiliation")
        self.authors.setFixedHeight(64)
        self.license = QComboBox()
        self.license.setEditable(True)
        self.license.addItems(LICENSES)
        self.description = QLineEdit()
        self.description.setPlaceholderText("what it segments, in a sentence")
        self.measure = QCheckBox("measure each image to normalize it")
        self.measure.setToolTip(
            "Without it, every tile is normalized by the intensities of the image on screen, so that all programs "
            "agree. With it, images of other exposures work, but programs that measure each tile give other scores."
        )
        form = QFormLayout()
        form.addRow("Authors", self.authors)
        form.addRow("Licence", self.license)
        form.addRow("Description", self.description)
        form.addRow("", self.measure)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel)
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        self.problem = sentence_label()
        self.problem.hide()
        layout = QVBoxLayout(self)
        layout.addWidget(sentence_label("The package's test values and cover are taken from the image on screen."))
        layout.addLayout(form)
        layout.addWidget(self.problem)
        layout.addWidget(buttons)

    def about(self) -> About:
        """Return what was typed.

        Raises
        ------
        OutputError
            If something is missing.
        """
        lines = [line.strip() for line in self.authors.toPlainText().splitlines()]
        authors = tuple(line for line in lines if line)
        return About(authors, self.license.currentText().strip(), self.description.text().strip())

    def accept(self) -> None:
        """Close if nothing is missing; else say what is."""
        try:
            self.about()
        except UserError as error:
            self.problem.setText(str(error))
            self.problem.show()
            return
        super().accept()
