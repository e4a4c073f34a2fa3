"""Next: the button, and the line that says why the user is here and what can be done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QPushButton, QWidget

from napari_unet.viewer.widgets.parts import enable, lay_out_question, sentence_label

if TYPE_CHECKING:
    from napari_unet.viewer.link import ViewerLink

TIP = "Go to the region most worth correcting (N); one in five is drawn at random"


class NextRegion(QWidget):
    """The line below the buttons while the user is at a suggested region; `button` belongs beside Accept.

    Parameters
    ----------
    link : ViewerLink
        The viewer and its session.
    """

    def __init__(self, link: ViewerLink) -> None:
        super().__init__()
        self.link, self.session = link, link.session
        self.button = QPushButton("Next ▸")
        self.button.clicked.connect(lambda: link.next_region())
        self.reason = sentence_label()
        self.done = QPushButton()
        self.done.clicked.connect(lambda: link.done_region())
        self.skip = QPushButton()
        self.skip.clicked.connect(lambda: link.skip_region())
        lay_out_question(self, self.reason, self.done, self.skip)
        self.refresh()

    def refresh(self) -> None:
        """Show where the user was led to, and whether Next can work."""
        model, here = self.session.model, self.session.suggestion
        enable(self.button, self._problem(), TIP)
        self.button.setText("Looking…" if self.session.asked_next else "Next ▸")
        self.setVisible(here is not None and model is not None)
        if here is None:
            return
        checking = here.kind == "random"
        self.reason.setText(here.reason)
        self.done.setText("Done" if checking else "Accept region")
        self.done.setToolTip(
            "Everything in the frame is labelled: compare it with the hidden prediction"
            if checking
            else "Make the region known as it is"
        )
        self.skip.setText("Skip" if checking else "Leave")
        self.skip.setToolTip(
            "Show the hidden prediction again" if checking else "Remove the frame; nothing is accepted"
        )

    def _problem(self) -> str:
        model = self.session.model
        if model is None:
            return "Choose a model first."
        if model.untrained:
            return "The model has not been trained yet: paint a stroke in each class, then click Retrain."
        if self.link.image.source is None:
            return "Open an image first."
        return "Click Keep or Discard first." if self.session.undecided is not None else ""
