"""Two small parts of the section that trains: the model to publish, and a round that a crash interrupted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QFormLayout,
    QMenu,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from napari_unet.viewer.widgets.icons import IconButton
from napari_unet.viewer.widgets.parts import enable, lay_out_question, sentence_label

if TYPE_CHECKING:
    from napari_unet.session.finalizing import FinalPlan
    from napari_unet.viewer.link import ViewerLink

WHAT = (
    "Trains the model to publish: once more from the start, with a fixed number of steps, a fixed seed and one "
    "thread. Twice gives the same scores, here and with “napari-unet finalize” on the project's folder. "
    "It takes minutes; you can go on working, and stop it."
)


class FinalizeButton(IconButton):
    """The arrow beside *Retrain* with *Finalize…* in its menu.

    Parameters
    ----------
    link : ViewerLink
        The viewer and its session.
    """

    def __init__(self, link: ViewerLink) -> None:
        super().__init__("down", "More ways to train")
        self.setFixedWidth(20)
        self.link = link
        menu = QMenu(self)
        menu.setToolTipsVisible(True)
        self.action = menu.addAction("Finalize…", self.ask)
        self.setMenu(menu)

    def refresh(self, problem: str) -> None:
        """Enable it, or say what is missing."""
        enable(self, problem, "More ways to train")
        self.action.setToolTip(WHAT)

    def ask(self) -> FinalDialog | None:
        """Say what *Finalize* does and ask for the steps; returns the dialog, which waits for the answer."""
        plan = self.link.run(self.link.session.final_plan)
        if plan is None:
            return None
        dialog = FinalDialog(self.link, plan, self)
        dialog.open()
        return dialog


class FinalDialog(QDialog):
    """What *Finalize* would do, and the steps.

    Parameters
    ----------
    link : ViewerLink
        The viewer and its session.
    plan : FinalPlan
        What it would do by default.
    parent : QWidget
        Where it belongs.
    """

    def __init__(self, link: ViewerLink, plan: FinalPlan, parent: QWidget) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle("Finalize")
        self.link = link
        self.steps = QSpinBox()
        self.steps.setRange(1, 100_000)
        self.steps.setValue(plan.steps)
        self.steps.setToolTip("The number that is set here follows from how much is known")
        self.buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel)
        self.buttons.button(QDialogButtonBox.StandardButton.Ok).setText("Finalize")
        self.buttons.accepted.connect(self._start)
        self.buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        for text in (WHAT, plan.sentence):
            label = sentence_label(text)
            label.setMinimumWidth(380)
            layout.addWidget(label)
        form = QFormLayout()
        form.addRow("Steps", self.steps)
        layout.addLayout(form)
        layout.addWidget(self.buttons)

    def _start(self) -> None:
        steps = self.steps.value()
        self.accept()
        self.link.run(lambda: self.link.session.finalize(steps))


class InterruptedRow(QWidget):
    """Tells of a round that was killed, and offers to go on; hidden while there is none.

    Parameters
    ----------
    link : ViewerLink
        The viewer and its session.
    """

    def __init__(self, link: ViewerLink) -> None:
        super().__init__()
        self.link, self.session = link, link.session
        self.sentence = sentence_label()
        self.resume = QPushButton("Resume")
        self.resume.clicked.connect(lambda: link.run(self.session.resume_training))
        self.drop = QPushButton("Drop")
        self.drop.setToolTip("Forget the interrupted round; the model stays as it is")
        self.drop.clicked.connect(lambda: link.run(self.session.drop_interrupted))
        lay_out_question(self, self.sentence, self.resume, self.drop)
        self.hide()

    def refresh(self) -> None:
        """Show whether a round was interrupted."""
        interrupted = self.link.run(self.session.interrupted_round)
        self.setVisible(interrupted is not None)
        if interrupted is not None:
            self.sentence.setText(interrupted.sentence)
            waits = "The last training round waits for Keep or Discard." if self.session.undecided is not None else ""
            enable(self.resume, waits, "Go on with it: the labels as they were then, and what is left of its budget")
