"""Rows of the form about a model: how images are prepared, what makes scores, what the channels mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_unet.model.header import COLORS, CheckpointHeader
from napari_unet.viewer.widgets.classes import swatch

if TYPE_CHECKING:
    from napari_unet.image.normalize import Normalization

MOST = 1e9
MAX_ROWS = 6
METHODS = (
    ("percentiles of each image map to 0 and 1", "percentile"),
    ("mean 0, standard deviation 1", "zscore"),
    ("divided by 255 (8-bit images)", "fixed:0:255"),
    ("divided by 65535 (16-bit images)", "fixed:0:65535"),
    ("less a number, divided by a number", "fixed"),
    ("as they are in the file", "none"),
)
NUMBERS = {"percentile": ((1.0, 99.8), 100.0, "to"), "fixed": ((0.0, 255.0), MOST, "divided by")}
ACTIVATIONS = (
    ("softmax: one class for each voxel", "softmax"),
    ("sigmoid: each channel on its own", "sigmoid"),
    ("nothing: the network gives scores already", "none"),
)


class NormalizationRow(QWidget):
    """How intensities become what the network takes.

    Parameters
    ----------
    suggested : Normalization
        What is taken until somebody says otherwise.
    earlier : str
        What was said before; see `napari_unet.model.saying.parsed`.
    """

    changed = Signal()

    def __init__(self, suggested: Normalization, earlier: str = "") -> None:
        super().__init__()
        self.setToolTip(
            "The network sees images as it saw them when it was trained. Its training script or paper says how; "
            "a wrong answer gives noise, or nothing, in the preview."
        )
        self.method = narrow_box()
        self.method.addItem(f"suggested: {suggested.sentence}", "")
        for text, value in METHODS:
            self.method.addItem(text, value)
        self.first, self.second, self.between = QDoubleSpinBox(), QDoubleSpinBox(), QLabel()
        self.numbers = QWidget()
        line = QHBoxLayout(self.numbers)
        line.setContentsMargins(0, 0, 0, 0)
        for widget in (self.first, self.between, self.second):
            line.addWidget(widget)
        line.addStretch(1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.method)
        layout.addWidget(self.numbers)
        self._begin(earlier)
        self.method.activated.connect(self._chosen)
        for box in (self.first, self.second):
            box.valueChanged.connect(lambda value: self.changed.emit())

    def add_to(self, form: QFormLayout) -> None:
        """Put it into a form."""
        form.addRow("Intensities", self)

    def said(self) -> dict[str, str]:
        """Return the answer, empty if what is suggested stays."""
        value = str(self.method.currentData())
        if value in NUMBERS:
            value = f"{value}:{self.first.value():.6g}:{self.second.value():.6g}"
        return {"normalization": value} if value else {}

    def _begin(self, earlier: str) -> None:
        method, *numbers = earlier.split(":")
        index = self.method.findData(earlier)
        self.method.setCurrentIndex(index if index >= 0 else max(0, self.method.findData(method)))
        self._offer_numbers()
        if len(numbers) == 2 and self.method.currentData() in NUMBERS:
            self.first.setValue(float(numbers[0]))
            self.second.setValue(float(numbers[1]))

    def _chosen(self) -> None:
        self._offer_numbers()
        self.changed.emit()

    def _offer_numbers(self) -> None:
        found = NUMBERS.get(str(self.method.currentData()))
        self.numbers.setVisible(found is not None)
        if found is None:
            return
        values, most, between = found
        self.between.setText(between)
        for box, value in zip((self.first, self.second), values, strict=True):
            box.blockSignals(True)
            box.setRange(0 if most == 100 else -MOST, most)
            box.setValue(value)
            box.blockSignals(False)


class ActivationRow(QWidget):
    """What makes scores of the network's values.

    Parameters
    ----------
    header : CheckpointHeader
        The model with what is suggested.
    earlier : str
        What was said before.
    """

    changed = Signal()

    def __init__(self, header: CheckpointHeader, earlier: str = "") -> None:
        super().__init__()
        self.setToolTip(
            "What is done with the last layer's values: what the loss did in training. “Softmax” where exactly one "
            "class is right for each voxel, “sigmoid” where each channel is a yes or no."
        )
        self.choice = narrow_box()
        for text, value in ACTIVATIONS:
            if value != "softmax" or header.out_channels > 1:
                self.choice.addItem(text, value)
        self.choice.setCurrentIndex(max(0, self.choice.findData(earlier or header.output.activation)))
        self.choice.activated.connect(lambda index: self.changed.emit())
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.choice)

    def add_to(self, form: QFormLayout) -> None:
        """Put it into a form."""
        form.addRow("Scores by", self)

    def said(self) -> dict[str, str]:
        """Return the answer."""
        return {"activation": str(self.choice.currentData())}


class MeaningRows(QWidget):
    """What the channels of the output mean: a class each, or inside and boundary of objects.

    Parameters
    ----------
    header : CheckpointHeader
        The model with what is suggested.
    earlier : mapping of str to str
        What was said before.
    """

    changed = Signal()

    def __init__(self, header: CheckpointHeader, earlier: Mapping[str, str]) -> None:
        super().__init__()
        self.count = header.out_channels
        self.setToolTip("The order of the channels is that of the labels in training")
        self.kind = narrow_box()
        self.kind.addItem("one class each, the background first", "classes")
        self.kind.addItem("inside and boundary of objects", "channels")
        self.names = QListWidget()
        self.names.setIconSize(QSize(14, 14))
        self.names.setToolTip("Double-click to rename")
        for index, name in enumerate(_names(header, earlier)):
            item = QListWidgetItem(swatch(COLORS[index % len(COLORS)]), name)
            item.setFlags(item.flags() | Qt.ItemFlag.ItemIsEditable)
            self.names.addItem(item)
        self.names.setFixedHeight(min(self.count, MAX_ROWS) * max(self.names.sizeHintForRow(0), 18) + 6)
        self.inside, self.boundary = self._channel_box(0), self._channel_box(1)
        self.roles = QWidget()
        roles = QFormLayout(self.roles)
        roles.setContentsMargins(0, 0, 0, 0)
        roles.addRow("Inside", self.inside)
        roles.addRow("Boundary", self.boundary)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for widget in (self.kind, self.names, self.roles):
            layout.addWidget(widget)
        self._begin(header, earlier.get("channels", ""))
        self.kind.activated.connect(lambda index: self._changed())
        self.names.itemChanged.connect(lambda item: self.changed.emit())
        for box in (self.inside, self.boundary):
            box.activated.connect(lambda index: self.changed.emit())

    def add_to(self, form: QFormLayout) -> None:
        """Put it into a form."""
        form.addRow("Channels mean", self)

    def said(self) -> dict[str, str]:
        """Return the answer; names cannot hold commas."""
        if self.kind.currentData() == "classes":
            names = [self.names.item(row).text().replace(",", ";") for row in range(self.names.count())]
            return {"classes": ",".join(names)}
        names = [f"channel {index}" for index in range(self.count)]
        names[self.boundary.currentIndex()] = "boundary"
        names[self.inside.currentIndex()] = "interior"
        return {"channels": ",".join(names)}

    def _begin(self, header: CheckpointHeader, earlier: str) -> None:
        names = earlier.split(",") if earlier else list(header.output.channels)
        if {"interior", "boundary"} <= set(names) and len(names) == self.count:
            self.kind.setCurrentIndex(1)
            self.inside.setCurrentIndex(names.index("interior"))
            self.boundary.setCurrentIndex(names.index("boundary"))
        self._show()

    def _channel_box(self, index: int) -> QComboBox:
        box = narrow_box()
        box.addItems([f"channel {number}" for number in range(self.count)])
        box.setCurrentIndex(min(index, self.count - 1))
        return box

    def _changed(self) -> None:
        self._show()
        self.changed.emit()

    def _show(self) -> None:
        classes = self.kind.currentData() == "classes"
        self.names.setVisible(classes)
        self.roles.setVisible(not classes)


def narrow_box() -> QComboBox:
    """Return a list of choices that does not grow with the longest of them."""
    box = QComboBox()
    box.setMinimumContentsLength(34)
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    return box


def _names(header: CheckpointHeader, earlier: Mapping[str, str]) -> list[str]:
    """Return the name of each channel to begin with."""
    said = [name.strip() for name in earlier.get("classes", "").split(",")]
    if len(said) == header.out_channels and len(set(said)) == len(said):
        return said
    if header.output.kind == "classes":
        return [info.name for info in header.output.classes]
    return ["background", *(f"class {index}" for index in range(1, header.out_channels))]
