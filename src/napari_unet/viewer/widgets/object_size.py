"""How large the objects of an image are: typed, measured on a drawing, or found by a first look."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QDoubleSpinBox, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_unet.inference.options import PredictOptions
from napari_unet.viewer.measuring import HOW, drawn_diameter

if TYPE_CHECKING:
    from napari_unet.viewer.link import ViewerLink

UNKNOWN = "unknown"
TYPED = "Typical diameter of the objects in pixels of the image; the model sees it rescaled to the size that it knows"
FOUND = "Find out how large the objects are by a first look at several scales, where neither it nor voxel sizes tell"


class ObjectSize(QWidget):
    """The diameter of the objects, and whether it is to be found.

    Parameters
    ----------
    link : ViewerLink
        The viewer and its session.
    """

    changed = Signal()

    def __init__(self, link: ViewerLink) -> None:
        super().__init__()
        self.link = link
        options = link.session.settings.options
        self.diameter = QDoubleSpinBox()
        self.diameter.setDecimals(1)
        self.diameter.setRange(0.0, 10_000.0)
        self.diameter.setSuffix(" px")
        self.diameter.setSpecialValueText(UNKNOWN)
        self.diameter.setToolTip(TYPED)
        self.diameter.setKeyboardTracking(False)
        self.diameter.setValue(options.diameter or 0.0)
        self.measure = QPushButton("Measure")
        self.measure.setToolTip(f"Take it from a drawing. {HOW}")
        self.find = QCheckBox("find object size")
        self.find.setToolTip(FOUND)
        self.find.setChecked(options.find_size)
        self.diameter.valueChanged.connect(self.changed)
        self.find.toggled.connect(self.changed)
        self.measure.clicked.connect(lambda: link.run(self._measure))
        row = QHBoxLayout()
        row.addWidget(QLabel("object size"))
        row.addWidget(self.diameter, 1)
        row.addWidget(self.measure)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addLayout(row)
        layout.addWidget(self.find)

    def applied(self, options: PredictOptions) -> PredictOptions:
        """Return the options with what is on screen."""
        return replace(options, diameter=self.diameter.value() or None, find_size=self.find.isChecked())

    def _measure(self) -> None:
        image = self.link.image
        image.need_base()
        layer, source = image.layer, image.source
        if layer is None or source is None:
            return
        axes = source.axes[:-1] if source.rgb else source.axes
        width = drawn_diameter(image.viewer, layer, axes)
        if source.levels > 1:  # the model sees a coarser level than the one that layers are measured in
            width *= source.shape[3] / layer.data[0].shape[axes.index("X")]
        self.diameter.setValue(width)
