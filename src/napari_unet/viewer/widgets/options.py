"""How the model is run over an image: folded away, since the defaults suit most images."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from magicgui.widgets import Container, create_widget
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QPushButton, QToolButton, QVBoxLayout, QWidget

from napari_unet.inference.diameters import network_grid, wants_estimate
from napari_unet.inference.options import PredictOptions
from napari_unet.session.seams import JOB as SEAMS
from napari_unet.viewer.widgets.object_size import ObjectSize
from napari_unet.viewer.widgets.parts import enable, sentence_label

if TYPE_CHECKING:
    from napari_unet.viewer.link import ViewerLink

LABELS = {
    "flips": ("mirrored versions", "Average over mirrored versions of each tile: slower, a little more reliable"),
    "three_directions": ("three directions", "Average over the planes in all three directions, and find objects in 3D"),
    "join_z": ("join planes", "Join the objects of neighbouring planes where they overlap"),
    "rescale": ("rescale to the model", "Run on the image rescaled to the model's voxel size"),
}
TO_BE_FOUND = "How large the objects are is found by a first look."
FOR_STACKS = ("three_directions", "join_z")


class RunOptions(QWidget):
    """The options of a prediction, the check for seams, and what is done to the image.

    Parameters
    ----------
    link : ViewerLink
        The viewer and its session.
    """

    joining_changed = Signal()  # planes are to be joined, or not: labels change without the network

    def __init__(self, link: ViewerLink) -> None:
        super().__init__()
        self.link, self.session = link, link.session
        self.toggle = QToolButton()
        self.toggle.setText("details")
        self.toggle.setToolTip("How the model is run over the image")
        self.toggle.setCheckable(True)
        self.toggle.setAutoRaise(True)
        self.toggle.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.toggle.setArrowType(Qt.ArrowType.RightArrow)
        self.toggle.setStyleSheet("QToolButton { border: none; background: transparent; }")
        self.toggle.toggled.connect(self._expand)
        self.form, self.editors = _form(self.session.settings.options)
        self.form.changed.connect(self._take)
        self.size = ObjectSize(link)
        self.size.changed.connect(self._take)
        self.seams = QPushButton("Check seams")
        self.seams.clicked.connect(self._check_seams)
        self.note = sentence_label(dim=True)
        self.content = QWidget()
        inner = QVBoxLayout(self.content)
        inner.setContentsMargins(12, 0, 0, 0)
        inner.setSpacing(3)
        inner.addWidget(self.form.native)
        inner.addWidget(self.size)
        inner.addWidget(self.seams)
        self.content.setVisible(False)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        for widget in (self.note, self.toggle, self.content):
            layout.addWidget(widget)
        self.refresh()

    def values(self) -> PredictOptions:
        """Return the options on screen; those without an editor are the session's."""
        chosen = {name: bool(editor.value) for name, editor in self.editors.items()}
        return self.size.applied(replace(self.session.settings.options, **chosen))

    def _take(self) -> None:
        before, options = self.session.settings.options, self.values()
        self.session.set_options(options)
        self.refresh()
        if options.join_z != before.join_z:
            self.joining_changed.emit()

    def _expand(self, expanded: bool) -> None:
        self.toggle.setArrowType(Qt.ArrowType.DownArrow if expanded else Qt.ArrowType.RightArrow)
        self.content.setVisible(expanded)

    def _check_seams(self) -> None:
        def command() -> None:
            image_id = self.link.image.need()
            t, view = self.link.image.view()
            self.session.check_seams(image_id, t, view)

        self.link.run(command)

    def refresh(self) -> None:
        """Show what applies to the image and the model, and what is done to the image."""
        model, source = self.session.model, self.link.image.source
        stack = model is not None and source is not None and model.header.ndim == 2 and source.shape[1] > 1
        objects = model is not None and model.header.output.kind != "classes"
        options = self.session.settings.options
        for name in FOR_STACKS:
            self.editors[name].visible = stack and (name != "join_z" or (objects and not options.three_directions))
        sized = model is not None and source is not None and source.scale_um is not None
        directions = stack and options.three_directions
        self.editors["rescale"].visible = sized and (
            directions or (model is not None and bool(model.header.voxel_size))
        )
        self.size.setVisible(model is not None and model.header.object_diameter is not None)
        note = ""
        if model is not None and source is not None:
            note = network_grid(source, model.header, options, isotropic=directions)[1]
            if wants_estimate(source, model.header, options):
                note = f"{note} {TO_BE_FOUND}".strip()
        self.note.setText(note)
        self.note.setVisible(bool(note))
        missing = "" if model is not None and not model.untrained else "There is no trained model."
        running = "The check runs." if SEAMS in self.session.jobs else ""
        tip = "Predict a crop of what is in view in tiles and at once, and tell how far they differ"
        enable(
            self.seams, missing or ("" if source is not None else "There is no image: open one first.") or running, tip
        )


def _form(options: PredictOptions) -> tuple[Container[Any], dict[str, Any]]:
    """Return a form with an editor for each option, by name."""
    editors = {}
    for name, (label, tip) in LABELS.items():
        editor = create_widget(value=getattr(options, name), annotation=bool, name=name, label=label)
        editor.tooltip = tip
        editors[name] = editor
    form = Container(widgets=list(editors.values()), labels=True)
    form.margins = (0, 0, 0, 0)
    form.native.layout().setSpacing(2)
    return form, editors
