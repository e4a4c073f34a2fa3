"""The section that shows and changes the model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from qtpy.QtWidgets import QComboBox, QFileDialog, QLabel, QMenu

from napari_unet.model.builtin import builtin_names
from napari_unet.model.header import COLORS, CheckpointHeader, ClassInfo
from napari_unet.viewer.widgets.asking import AskingDialog
from napari_unet.viewer.widgets.classes import ask_classes
from napari_unet.viewer.widgets.history import HistoryDialog
from napari_unet.viewer.widgets.icons import IconButton
from napari_unet.viewer.widgets.parts import Section, enable, sentence_label
from napari_unet.viewer.widgets.trusting import CodeDialog

if TYPE_CHECKING:
    from napari_unet.session.asking import ModelQuestion
    from napari_unet.session.trusting import CodeQuestion
    from napari_unet.viewer.link import ViewerLink

MODEL_FILES = "Models (*.safetensors *.pt *.pth *.ckpt *.pytorch *.ts *.onnx *.zip *.yaml *.yml);;All files (*)"
DEVICES = ("auto", "cpu")  # until torch has told, in its own process, what else there is
NEW_CLASSES = (ClassInfo("background", COLORS[0]), ClassInfo("foreground", COLORS[1]))


class ModelSection(Section):
    """Choose, open, make and compare models.

    Parameters
    ----------
    link : ViewerLink
        The viewer and its session.
    """

    def __init__(self, link: ViewerLink) -> None:
        super().__init__("Model")
        self.link, self.session = link, link.session
        self.choice = QComboBox()
        self.choice.setMinimumContentsLength(8)
        self.choice.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.choice.activated.connect(self._on_chosen)
        self.add = IconButton("plus", "Open a model file, or make a new model")
        menu = QMenu(self.add)
        menu.addAction("Open a file…", self.open_file)
        menu.addAction("Open a folder…", self.open_folder)
        menu.addAction("Start from my strokes…", self.start_from_strokes)
        self._from_parent = menu.addAction("New from this model, with classes…", self.new_from_parent)
        self.add.setMenu(menu)
        self.header.addWidget(self.choice, 1)
        self.header.addWidget(self.add)
        self.summary = sentence_label(dim=True)
        self.info = IconButton("info", "Model card and history", self.show_history)
        self.back = IconButton("back", "Back to the parent", lambda: link.run(self.session.back))
        self.row(self.summary, self.info, self.back)
        self.history: HistoryDialog | None = None
        self.device = QComboBox()
        self.device.addItems(DEVICES)
        self.device.setToolTip("What the network runs on; “auto” takes a GPU when there is one")
        self.device.activated.connect(self._on_device)
        self.device_note = sentence_label(dim=True)
        self.device_note.hide()
        self.row(QLabel("Runs on"), self.device, stretch=True)
        self.body.addWidget(self.device_note)
        self.refresh()

    # ---- what the user does --------------------------------------------------------------------

    def open_file(self) -> None:
        """Ask for a checkpoint and make it the current model."""
        path, _ = QFileDialog.getOpenFileName(self, "Open a model", "", MODEL_FILES)
        if path:
            self.link.run(lambda: self.session.select_model(path))

    def open_folder(self) -> None:
        """Ask for a folder that holds a model, as those of nnU-Net and unpacked packages, and make it current."""
        path = QFileDialog.getExistingDirectory(self, "Open a model's folder")
        if path:
            self.link.run(lambda: self.session.select_model(path))

    def ask_for_code(self, question: CodeQuestion) -> None:
        """Ask whether code in a model file may run; the window stays usable meanwhile."""
        CodeDialog(self.link, self, question).open()

    def ask_about(self, question: ModelQuestion) -> None:
        """Ask what the file of a model does not say, before the model is taken."""
        AskingDialog(self.link, self, question).open()

    def start_from_strokes(self) -> None:
        """Make a model from nothing; two strokes give its first result."""
        self._new(NEW_CLASSES, None, "my model")

    def new_from_parent(self) -> None:
        """Make a model with classes of its own from the features of the current one."""
        model = self.session.model
        if model is not None:
            output = model.header.output
            self._new(NEW_CLASSES if output.instances else output.classes, model.path, f"{model.header.name} (mine)")

    def _new(self, classes: tuple[ClassInfo, ...], parent: str | None, name: str) -> None:
        answer = ask_classes(self, classes, name)
        if answer is None:
            return
        name, classes = answer
        ndim, channels = self._size()

        def command() -> None:
            self.link.image.need()
            self.session.new_model(classes, parent, ndim=ndim, in_channels=channels, name=name)

        self.link.run(command)

    def _size(self) -> tuple[Literal[2, 3], int]:
        """Return the dimensions and channels that a new model for the chosen image has."""
        source = self.link.image.source
        if source is None:
            return 2, 1
        return 3 if source.has("Z") and source.shape[1] > 1 else 2, source.n_channels

    def _on_chosen(self, index: int) -> None:
        path = self.choice.itemData(index)
        if self.session.model is None or path != self.session.model.path:
            self.link.run(lambda: self.session.select_model(path))
        self.refresh()

    def _on_device(self) -> None:
        self.session.set_device(self.device.currentText())
        self.device_note.hide()

    def show_history(self) -> HistoryDialog:
        """Open the window of the model and of its history, or bring it to the front."""
        if self.history is None:
            self.history = HistoryDialog(self.link, self)
            self.history.finished.connect(self._on_history_closed)
            self.history.show()
        self.history.raise_()
        return self.history

    def close_history(self) -> None:
        """Close that window, and take what it shows off the image."""
        if self.history is not None:
            self.history.reject()

    def _on_history_closed(self) -> None:
        self.history = None

    # ---- what it shows -------------------------------------------------------------------------

    def refresh(self) -> None:
        """Show the session's model."""
        session, model = self.session, self.session.model
        self.choice.clear()
        if model is None:
            self.choice.addItem("choose a model…", "")
        versions = {version.path: version for version in session.versions}
        for path in session.model_names():
            version = versions.get(path)
            self.choice.addItem(path if path in builtin_names() else _title(path, version), path)
        if model is not None:
            self.choice.setCurrentIndex(self.choice.findData(model.path))
            self.choice.setToolTip(model.summary or model.header.name)
        busy = "A model is being opened or made." if "model" in session.jobs else ""
        round_waits = "The last training round waits for Keep or Discard." if session.undecided else ""
        enable(self.choice, busy or round_waits, self.choice.toolTip())
        enable(self.add, busy or round_waits, "Open a model file, or make a new model")
        self._from_parent.setEnabled(model is not None)
        self.summary.setText("Opening…" if busy else "no model" if model is None else describe(model.header))
        none = "" if model is not None else "No model is chosen."
        enable(self.info, none, "Model card and history")
        parent = session.parent_version()
        no_parent = none or ("" if parent is not None else "The model has no parent in this session.")
        name = "" if parent is None else f" “{_title(parent.path, parent)}”"
        enable(self.back, no_parent or round_waits, f"Back to the parent{name}")
        self.device.setCurrentText(session.settings.device)

    def offer_devices(self, names: tuple[str, ...]) -> None:
        """List what torch finds on this machine."""
        self.device.clear()
        self.device.addItems(names)
        self.device.setCurrentText(self.session.settings.device)

    def refresh_note(self, note: str) -> None:
        """Show the sentence about the device that a job has chosen."""
        if note and note != self.device_note.text():
            self.device_note.setText(note)
            self.device_note.show()


def describe(header: CheckpointHeader) -> str:
    """Return what a model takes and gives, in a line.

    Parameters
    ----------
    header : CheckpointHeader
        Of the model.
    """
    output = header.output
    names = {"instances": "instances", "classes": f"{len(output.classes)} classes", "binary": "foreground"}
    return f"{header.ndim}D · {header.in_channels} ch · {names[output.kind]}"


def _title(path: str, version: object) -> str:
    name = getattr(getattr(version, "header", None), "name", "")
    return f"{name} · {Path(path).stem}" if name else Path(path).stem
