"""The animal, slide or patient of the open image, in a line to write into."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QCompleter, QHBoxLayout, QLabel, QLineEdit, QWidget

if TYPE_CHECKING:
    from napari_unet.viewer.link import ViewerLink

TIP = (
    "Which animal, slide or patient the image comes from. Images of one group share one role: all of them train, or "
    "all of them validate, so that no score is measured on a sibling of what trained. It counts once whole images are "
    "held back, from ten images on; what has a role keeps it. Empty: the image stands for itself."
)


class GroupRow(QWidget):
    """Shows and sets the group of the open image; the names given so far are offered.

    Parameters
    ----------
    link : ViewerLink
        The viewer and its session.
    """

    def __init__(self, link: ViewerLink) -> None:
        super().__init__()
        self.link, self.session = link, link.session
        self.name = QLineEdit()
        self.name.setPlaceholderText("none")
        self.name.setMaxLength(80)
        self.name.setToolTip(TIP)
        self.name.editingFinished.connect(self._set)
        title = QLabel("Group")
        title.setToolTip(TIP)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(4)
        row.addWidget(title)
        row.addWidget(self.name, 1)
        self._layer: object = None  # whose group is shown
        self.refresh()

    def refresh(self) -> None:
        """Show the group of the open image, unless the user is writing it."""
        image, groups = self.link.image, self.session.assignment.groups
        self.setVisible(image.source is not None)
        if image.layer is self._layer and self.name.isModified():
            return
        self._layer = image.layer
        self.name.setText(self._group())
        completer = QCompleter(sorted(set(groups.values())), self.name)
        completer.setCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)
        self.name.setCompleter(completer)

    def _group(self) -> str:
        image_id = self.link.image.image_id
        return "" if image_id is None else self.session.assignment.groups.get(image_id, "")

    def _set(self) -> None:
        """Take over what was written; Qt tells before another image can be chosen."""
        name = self.name.text().strip()
        self.name.setModified(False)
        if self.link.image.layer is self._layer and name != self._group():
            self.link.run(lambda: self.session.set_group(self.link.image.need(), name))
        self.refresh()
