"""The section that shows the image and asks what is unclear about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QComboBox, QDoubleSpinBox, QHBoxLayout, QLabel, QMenu, QPushButton, QWidget

from napari_unet.errors import AxesError, UserError
from napari_unet.image.source import ImageSource
from napari_unet.viewer.images import question_of
from napari_unet.viewer.widgets.group import GroupRow
from napari_unet.viewer.widgets.icons import IconButton
from napari_unet.viewer.widgets.parts import Section, sentence_label
from napari_unet.viewer.widgets.scope import LevelChoice

if TYPE_CHECKING:
    from napari_unet.viewer.link import ViewerLink

MEANINGS = {"T": "T time", "C": "C channel", "Z": "Z plane", "Y": "Y row", "X": "X column"}


class ImageSection(Section):
    """Which image, its channels, its voxel size; axes are asked for where they are unclear.

    Parameters
    ----------
    link : ViewerLink
        The viewer and its session.
    """

    def __init__(self, link: ViewerLink) -> None:
        super().__init__("Image")
        self.link, self.image = link, link.image
        self.choice = QComboBox()
        self.choice.setMinimumContentsLength(8)
        self.choice.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.choice.setToolTip("The image to work on; follows the selected layer unless pinned")
        self.choice.activated.connect(self._on_chosen)
        self.pin = IconButton("pin", "Stay with this image when another layer is selected", checkable=True)
        self.pin.toggled.connect(self._on_pinned)
        self.header.addWidget(self.choice, 1)
        self.header.addWidget(self.pin)
        self.facts = sentence_label(dim=True)
        self.channels = IconButton("channels", "Choose which channels feed the model, also from other layers")
        self.channels.setMenu(QMenu(self.channels))
        self.channels.menu().aboutToShow.connect(self._fill_channels)
        self.size = IconButton("ruler", "Set the voxel size", self._ask_size)
        self.row(self.facts, self.channels, self.size)
        self.level = LevelChoice(link)
        self.body.addWidget(self.level)
        self.question = _AxesQuestion(self)
        self.body.addWidget(self.question)
        self.size_form = _SizeForm(self)
        self.size_form.hide()
        self.body.addWidget(self.size_form)
        self.group = GroupRow(link)
        self.body.addWidget(self.group)
        self.refresh()

    def _on_chosen(self, index: int) -> None:
        usable = self.image.usable
        if 0 <= index < len(usable):
            self.image.choose(usable[index])

    def _on_pinned(self, pinned: bool) -> None:
        self.image.pinned = pinned
        if not pinned:
            self.image.follow()

    def _ask_size(self) -> None:
        source = self.image.source
        if source is not None:
            self.size_form.ask(source)

    def _fill_channels(self) -> None:
        """List the channels of the layer and the other layers that could be channels."""
        menu, layer, source = self.channels.menu(), self.image.layer, self.image.source
        menu.clear()
        if layer is None or source is None:
            return
        own = self.image.channel_layers(layer)
        if len(own) == 1 and source.has("C") and not source.rgb:
            count = int(source.data.shape[source.axes.index("C")])
            chosen = self.image.channels(layer) or tuple(range(count))
            for channel in range(count):
                action = menu.addAction(f"Channel {channel}")
                action.setCheckable(True)
                action.setChecked(channel in chosen)
                action.toggled.connect(lambda on, c=channel: self._toggle_channel(c, on, chosen))
            menu.addSeparator()
        for other in self.image.usable:
            if other is not layer and other.data.shape == layer.data.shape and not other.rgb:
                action = menu.addAction(f"Layer {other.name}")
                action.setCheckable(True)
                action.setChecked(other in own)
                action.toggled.connect(lambda on, o=other: self._toggle_layer(o, on))
        if menu.isEmpty():
            menu.addAction("The image has one channel; no other layer has its shape").setEnabled(False)

    def _toggle_channel(self, channel: int, on: bool, chosen: tuple[int, ...]) -> None:
        kept = tuple(c for c in chosen if c != channel)
        wanted = (*kept, channel) if on else kept
        self.link.run(lambda: self.image.choose_channels(wanted or None))

    def _toggle_layer(self, other: object, on: bool) -> None:
        if self.image.layer is None:
            return
        more = [layer for layer in self.image.channel_layers(self.image.layer)[1:] if layer is not other]
        self.link.run(lambda: self.image.choose_channel_layers([*more, other] if on else more))

    def refresh(self) -> None:
        """Show the current image."""
        layer, source, problem = self.image.layer, self.image.source, self.image.problem
        usable = self.image.usable
        self.choice.clear()
        self.choice.addItems([other.name for other in usable] or ["no image"])
        self.choice.setEnabled(bool(usable))
        if layer in usable:
            self.choice.setCurrentIndex(usable.index(layer))
        self.pin.setEnabled(layer is not None)
        self.pin.blockSignals(True)
        self.pin.setChecked(self.image.pinned)
        self.pin.blockSignals(False)
        self.group.refresh()
        self.level.refresh()
        asks = isinstance(problem, AxesError)
        self.facts.setText(describe(source, problem))
        self.channels.setVisible(source is not None)
        self.size.setVisible(source is not None)
        if source is not None:
            unknown = source.scale is None
            self.size.setToolTip("The voxel size is unknown: set it" if unknown else "Set the voxel size")
        else:
            self.size_form.hide()
        self.question.ask(layer.data.shape if asks and layer is not None else (), question_of(problem))

    def answer(self, axes: str) -> None:
        """Take the user's answer about the axes."""
        self.link.run(lambda: self.image.answer_axes(axes))

    def set_size(self, size: tuple[float, float, float]) -> None:
        """Take the user's answer about the voxel size."""
        self.link.run(lambda: self.image.answer_voxel_size(size))


class _AxesQuestion(QWidget):
    """A small choice per axis."""

    def __init__(self, section: ImageSection) -> None:
        super().__init__()
        self._section = section
        self._row = QHBoxLayout(self)
        self._row.setContentsMargins(0, 0, 0, 0)
        self._row.setSpacing(3)
        self.boxes: list[QComboBox] = []
        self.use = QPushButton("Use")
        self.use.setToolTip("Remember these axes for the layer")
        self.use.clicked.connect(self._answer)
        self.hide()

    def ask(self, shape: tuple[int, ...], candidates: tuple[str, ...]) -> None:
        """Show a choice for every axis of the shape, the first candidate chosen; hide for an empty one."""
        self.setVisible(bool(shape))
        while self._row.count():
            item = self._row.takeAt(0).widget()
            if item is not None and item is not self.use:
                item.deleteLater()
        self.boxes = []
        for index, length in enumerate(shape):
            box = QComboBox()
            box.setToolTip(f"Axis {index} of length {length}")
            for letter, meaning in MEANINGS.items():
                box.addItem(f"{letter} {length}", letter)
                box.setItemData(box.count() - 1, meaning, 3)
            if candidates:
                box.setCurrentIndex(box.findData(candidates[0][index]))
            self.boxes.append(box)
            self._row.addWidget(box, 1)
        self._row.addWidget(self.use)

    def _answer(self) -> None:
        self._section.answer("".join(box.currentData() for box in self.boxes))


class _SizeForm(QWidget):
    """Three numbers and a button."""

    def __init__(self, section: ImageSection) -> None:
        super().__init__()
        self._section = section
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(3)
        self.numbers = {}
        for letter in "zyx":
            number = QDoubleSpinBox()
            number.setDecimals(4)
            number.setRange(0.0001, 100000)
            number.setButtonSymbols(QDoubleSpinBox.ButtonSymbols.NoButtons)
            number.setToolTip(f"Voxel size along {letter} in µm")
            self.numbers[letter] = number
            row.addWidget(QLabel(letter))
            row.addWidget(number, 1)
        use = QPushButton("Set")
        use.setToolTip("Remember this voxel size, in µm, for the layer")
        use.clicked.connect(self._answer)
        row.addWidget(use)

    def ask(self, source: ImageSource) -> None:
        """Show the numbers of an image; a second click hides them."""
        for letter, value in zip("zyx", source.scale_um or (1.0, 1.0, 1.0), strict=True):
            self.numbers[letter].setValue(value)
        self.numbers["z"].setEnabled(source.has("Z"))
        self.setVisible(not self.isVisible())

    def _answer(self) -> None:
        z, y, x = (self.numbers[letter].value() for letter in "zyx")
        self.hide()
        self._section.set_size((z, y, x))


def describe(source: ImageSource | None, problem: UserError | None) -> str:
    """Return an image's channels and voxel size in a line, or why it cannot be used.

    Parameters
    ----------
    source : ImageSource or None
        The image.
    problem : UserError or None
        What is wrong with it.
    """
    if isinstance(problem, AxesError) and problem.candidates:
        return "What do its axes mean?"
    if problem is not None:
        return str(problem)
    if source is None:
        return "Open an image or drop a file onto the window."
    times, planes, _, _ = source.shape
    parts = [f"{times} times"] if times > 1 else []
    parts += [f"{planes} planes"] if planes > 1 else []
    parts.append("RGB" if source.rgb else f"{source.n_channels} channel{'s' if source.n_channels > 1 else ''}")
    if source.scale_um is None:
        parts.append("voxel size unknown")
    else:
        z, y, x = source.scale_um
        numbers = f"{x:.3g}" if x == y else f"{y:.3g} × {x:.3g}"
        parts.append(
            f"{z:.3g} × {numbers} µm ({source.scale_origin})" if planes > 1 else f"{numbers} µm ({source.scale_origin})"
        )
    return " · ".join(parts)
