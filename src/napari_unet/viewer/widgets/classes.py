"""The section of class names and colours, and the question about the classes of a new model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QSize, Qt, QTimer
from qtpy.QtGui import QColor, QIcon, QPainter, QPixmap
from qtpy.QtWidgets import (
    QColorDialog,
    QDialog,
    QDialogButtonBox,
    QFormLayout,
    QHBoxLayout,
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_unet.errors import UserError
from napari_unet.model.header import COLORS, ClassInfo
from napari_unet.session.classing import check_classes
from napari_unet.viewer.widgets.icons import IconButton
from napari_unet.viewer.widgets.parts import Section, enable, sentence_label

if TYPE_CHECKING:
    from napari_unet.viewer.link import ViewerLink

MAX_ROWS = 5


class ClassesSection(Section):
    """Names and fixed colours; a click takes the class as the label to paint with.

    Parameters
    ----------
    link : ViewerLink
        The viewer and its session.
    """

    def __init__(self, link: ViewerLink) -> None:
        super().__init__("Classes")
        self.link, self.session = link, link.session
        self.add = IconButton("plus", "Add a class", self._add)
        self.remove = IconButton("minus", "Remove the chosen class; what is known as it becomes unknown", self._remove)
        self.color = IconButton("color", "Change the colour of the chosen class", self._recolor)
        self.hint = sentence_label(dim=True)
        self.header.addWidget(self.hint, 1)
        for button in (self.color, self.remove, self.add):
            self.header.addWidget(button)
        self.list = QListWidget()
        self.list.setToolTip("Click to paint with a class, double-click to rename it")
        self.list.setIconSize(QSize(14, 14))
        self.list.itemClicked.connect(self._paint_with)
        self.list.itemChanged.connect(self._renamed)
        self.body.addWidget(self.list)
        self.refresh()

    def refresh(self) -> None:
        """Show the classes of the current model."""
        model = self.session.model
        classes = () if model is None or model.header.output.instances else model.header.output.classes
        self.setVisible(bool(classes))
        waits = "The last training round waits for Keep or Discard." if self.session.undecided else ""
        self._fill(classes, waits)
        rows = max(1, min(len(classes), MAX_ROWS))
        self.list.setFixedHeight(rows * max(self.list.sizeHintForRow(0), 18) + 6)
        self.hint.setText("paint a stroke in each" if model is not None and model.untrained else "")
        binary = model is not None and model.header.output.kind == "binary"
        busy = "Wait for the running job." if self.session.jobs else ""
        fixed = "A foreground model has one class; make a new model to have more." if binary else ""
        few = "A model needs at least two classes." if len(classes) <= 2 else ""
        enable(self.add, busy or waits or fixed, "Add a class")
        enable(
            self.remove, busy or waits or fixed or few, "Remove the chosen class; what is known as it becomes unknown"
        )
        enable(self.color, busy or waits or fixed, "Change the colour of the chosen class")

    def _fill(self, classes: tuple[ClassInfo, ...], fixed: str) -> None:
        """Show the classes; a name that is being typed stays open. ``fixed`` says why none can be renamed now."""
        self.list.blockSignals(True)
        while self.list.count() > len(classes):
            self.list.takeItem(self.list.count() - 1)
        for value, info in enumerate(classes):
            item = self.list.item(value)
            if item is None:
                item = QListWidgetItem()
                self.list.addItem(item)
            if item.data(Qt.ItemDataRole.UserRole) != info.color:
                item.setData(Qt.ItemDataRole.UserRole, info.color)
                item.setIcon(swatch(info.color))
            item.setText(info.name)
            item.setToolTip(fixed or f"Label {value}")
            editable = Qt.ItemFlag.ItemIsEditable
            flags = item.flags() & ~editable if fixed else item.flags() | editable
            if flags != item.flags():
                item.setFlags(flags)
        if classes and self.list.currentRow() < 0:
            self.list.setCurrentRow(0)
        self.list.blockSignals(False)

    def _paint_with(self, item: QListWidgetItem) -> None:
        result = self.link.result()
        if result is None or not result.layer.editable:
            return
        result.layer.selected_label = self.list.row(item)
        self.link.viewer.layers.selection.active = result.layer
        result.layer.mode = "paint"

    def _renamed(self, item: QListWidgetItem) -> None:
        """Rename a class, once the editor has closed; the list shows the old name until that is done."""
        index, name = self.list.row(item), item.text().strip()
        QTimer.singleShot(0, lambda: self._rename(index, name))

    def _rename(self, index: int, name: str) -> None:
        model = self.session.model
        classes = () if model is None else model.header.output.classes
        if index < len(classes) and classes[index].name != name:
            if self.session.jobs:
                sentence = f"'{classes[index].name}' becomes '{name}' when the running job has ended."
                self.session.events.message.emit("info", sentence, "")
            self.link.run(lambda: self.session.rename_class(index, name))
        self.refresh()

    def _add(self) -> None:
        model = self.session.model
        if model is not None:
            names = {info.name for info in model.header.output.classes}
            number = next(n for n in range(len(names), 1000) if f"class {n}" not in names)
            self.link.run(lambda: self.session.add_class(f"class {number}"))

    def _remove(self) -> None:
        self.link.run(lambda: self.session.remove_class(self.list.currentRow()))

    def _recolor(self) -> None:
        model, index = self.session.model, self.list.currentRow()
        if model is None or index < 0:
            return
        info = model.header.output.classes[index]
        color = QColorDialog.getColor(QColor(info.color), self, f"Colour of {info.name}")
        if color.isValid():
            self.link.run(lambda: self.session.rename_class(index, info.name, color.name()))


class ClassesDialog(QDialog):
    """Asks for the name of a new model and its classes, one a line.

    Parameters
    ----------
    parent : QWidget
        Where it belongs.
    classes : sequence of ClassInfo
        To begin with.
    name : str
        To begin with.
    """

    def __init__(self, parent: QWidget, classes: tuple[ClassInfo, ...], name: str) -> None:
        super().__init__(parent)
        self.setWindowTitle("New model")
        self.name = QLineEdit(name)
        self.list = QListWidget()
        self.list.setIconSize(QSize(14, 14))
        for info in classes:
            self._append(info.name, info.color)
        add = IconButton("plus", "Add a class", lambda: self._append(f"class {self.list.count()}"))
        remove = IconButton("minus", "Remove the chosen class", self._remove)
        form = QFormLayout()
        form.addRow("Name", self.name)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel)
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.addLayout(form)
        layout.addWidget(sentence_label("Classes, the background first; double-click to rename."))
        layout.addWidget(self.list)
        line = QHBoxLayout()
        line.addWidget(add)
        line.addWidget(remove)
        line.addStretch(1)
        layout.addLayout(line)
        self.problem = sentence_label()
        self.problem.hide()
        layout.addWidget(self.problem)
        layout.addWidget(buttons)

    @property
    def classes(self) -> tuple[ClassInfo, ...]:
        """The classes on screen."""
        items = [self.list.item(row) for row in range(self.list.count())]
        return tuple(ClassInfo(item.text().strip(), item.data(Qt.ItemDataRole.UserRole)) for item in items)

    def accept(self) -> None:
        """Close if the classes can be used; else say what is wrong."""
        try:
            check_classes(self.classes)
        except UserError as error:
            self.problem.setText(str(error))
            self.problem.show()
            return
        super().accept()

    def _append(self, name: str, color: str = "") -> None:
        color = color or COLORS[self.list.count() % len(COLORS)]
        item = QListWidgetItem(swatch(color), name)
        item.setFlags(item.flags() | Qt.ItemFlag.ItemIsEditable)
        item.setData(Qt.ItemDataRole.UserRole, color)
        self.list.addItem(item)

    def _remove(self) -> None:
        if self.list.currentRow() > 0:
            self.list.takeItem(self.list.currentRow())


def ask_classes(parent: QWidget, classes: tuple[ClassInfo, ...], name: str) -> tuple[str, tuple[ClassInfo, ...]] | None:
    """Ask for a new model's name and classes.

    Parameters
    ----------
    parent : QWidget
        Where the question belongs.
    classes : sequence of ClassInfo
        To begin with.
    name : str
        To begin with.

    Returns
    -------
    tuple or None
        (name, classes); None if the user cancelled.
    """
    dialog = ClassesDialog(parent, classes, name)
    if not dialog.exec():
        return None
    return dialog.name.text().strip() or name, dialog.classes


def swatch(color: str) -> QIcon:
    """Return a square of a colour.

    Parameters
    ----------
    color : str
        #rrggbb.
    """
    pixmap = QPixmap(14, 14)
    pixmap.fill(QColor("#909090"))  # a frame: black shows on a dark theme, white on a light one
    painter = QPainter(pixmap)
    painter.fillRect(1, 1, 12, 12, QColor(color))
    painter.end()
    return QIcon(pixmap)
