"""The window of a model: how it came about, the versions of this work, and what changed between two of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QPlainTextEdit,
    QPushButton,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_unet.errors import UserError
from napari_unet.model.builtin import builtin_names, model_card
from napari_unet.session.comparing import JOB, Comparison
from napari_unet.viewer.changes import COLORS, MEANINGS, ChangesOverlay
from napari_unet.viewer.widgets.parts import JobBar, enable, sentence_label

if TYPE_CHECKING:
    from napari_unet.session.state import ModelVersion
    from napari_unet.viewer.link import ViewerLink

COLUMNS = ("Version", "From", "Made", "Agreement", "How it came about")
WAITS = "The last training round waits for Keep or Discard."


class HistoryDialog(QDialog):
    """The versions of this work, with what each says about itself; it stays open while the user works.

    Parameters
    ----------
    link : ViewerLink
        The viewer and its session.
    parent : QWidget
        Where it belongs.
    """

    def __init__(self, link: ViewerLink, parent: QWidget) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle("Model and history")
        self.resize(680, 460)
        self.link, self.session = link, link.session
        self.overlay: ChangesOverlay | None = None
        self.tree = QTreeWidget()
        self.tree.setHeaderLabels(COLUMNS)
        self.tree.setRootIsDecorated(False)
        self.tree.setAllColumnsShowFocus(True)
        self.tree.setToolTip("The versions of this work, the newest first")
        self.tree.header().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        self.tree.currentItemChanged.connect(lambda *items: self._show_chosen())
        self.card = QPlainTextEdit()
        self.card.setReadOnly(True)
        self.use = QPushButton("Use")
        self.use.clicked.connect(self._use)
        self.compare = QPushButton("Compare with current")
        self.compare.clicked.connect(self._compare)
        self.hide_changes = QPushButton("Hide changes")
        self.hide_changes.setToolTip("Take what changed off the image")
        self.hide_changes.clicked.connect(self._clear)
        self.progress = JobBar("Stop comparing")
        self.progress.cancelled.connect(lambda: self.session.cancel(JOB))
        self.sentence = sentence_label()
        self.legend = QLabel(legend())
        self._lay_out()
        events = self.session.events
        self._connections: tuple[tuple[Any, Any], ...] = (
            (events.model_changed, self.refresh),
            (events.round_changed, self.refresh),
            (events.images_changed, self._on_images),
            (events.job_changed, self._on_job),
        )
        for signal, slot in self._connections:
            signal.connect(slot)
        self.finished.connect(self._let_go)
        self.refresh()

    def _lay_out(self) -> None:
        buttons = QHBoxLayout()
        for widget in (self.use, self.compare, self.hide_changes, self.progress):
            buttons.addWidget(widget)
        buttons.addStretch(1)
        close = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        close.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.addWidget(self.tree, 3)
        layout.addLayout(buttons)
        layout.addWidget(self.sentence)
        layout.addWidget(self.legend)
        layout.addWidget(self.card, 2)
        layout.addWidget(close)

    # ---- what the user does --------------------------------------------------------------------

    @property
    def chosen(self) -> ModelVersion | None:
        """The version of the row that is marked."""
        item = self.tree.currentItem()
        path = None if item is None else item.data(0, Qt.ItemDataRole.UserRole)
        return next((version for version in self.session.versions if version.path == path), None)

    def choose(self, version: ModelVersion) -> None:
        """Mark the row of a version."""
        for row in range(self.tree.topLevelItemCount()):
            item = self.tree.topLevelItem(row)
            if item is not None and item.data(0, Qt.ItemDataRole.UserRole) == version.path:
                self.tree.setCurrentItem(item)

    def _use(self) -> None:
        version = self.chosen
        if version is not None:
            self.link.run(lambda: self.session.select_model(version.path))

    def _compare(self) -> None:
        chosen, current = self.chosen, self.session.model

        def command() -> None:
            if chosen is None or current is None:
                return
            image_id = self.link.image.need()
            t, view = self.link.image.view()
            if view is None:
                raise UserError("The image is not on screen.", "Move it into view first.")
            self._clear()
            self.session.compare(*self._in_order(chosen, current), image_id, t, view, self._show_changes)

        self.link.run(command)

    def _in_order(self, one: ModelVersion, other: ModelVersion) -> tuple[ModelVersion, ModelVersion]:
        """Return two versions, the earlier one first."""
        versions = self.session.versions
        first, second = sorted((one, other), key=lambda version: versions.index(version) if version in versions else -1)
        return first, second

    # ---- what it shows -------------------------------------------------------------------------

    def refresh(self) -> None:
        """Show the versions; the marked one stays marked, the current one is marked at first."""
        session, marked = self.session, self.chosen or self.session.model
        self.tree.blockSignals(True)
        self.tree.clear()
        for version in reversed(session.versions):
            item = QTreeWidgetItem(self._cells(version))
            item.setData(0, Qt.ItemDataRole.UserRole, version.path)
            item.setToolTip(len(COLUMNS) - 1, version.summary)
            font = item.font(0)
            font.setBold(version is session.model)
            for column in range(len(COLUMNS)):
                item.setFont(column, font)
            self.tree.addTopLevelItem(item)
        self.tree.blockSignals(False)
        if marked is not None:
            self.choose(marked)
        self._show_chosen()

    def _cells(self, version: ModelVersion) -> list[str]:
        session, about = self.session, version.header.provenance
        parent = next((v for v in session.versions if v.header.weights_hash == version.header.parent), None)
        current = "→ " if version is session.model else ""
        return [
            f"{current}{session.version_name(version)} {version.header.name}",
            "" if parent is None else session.version_name(parent),
            str(about.get("made", "")),
            agreement(about.get("agreement")),
            version.summary,
        ]

    def _show_chosen(self) -> None:
        version, session = self.chosen, self.session
        self.card.setPlainText("" if version is None else card(version))
        if version is None:
            none = "No version is chosen."
            enable(self.use, none, "")
            enable(self.compare, none, "")
        else:
            is_current = version is session.model
            problem = "This is the current version." if is_current else WAITS if session.undecided is not None else ""
            enable(self.use, problem, "Make this version the current model; undo returns")
            enable(self.compare, self._comparing_problem(version), "Show what changed in view between the two")
        running = JOB in session.jobs
        self.progress.setVisible(running)
        self.hide_changes.setVisible(self.overlay is not None)
        self.legend.setVisible(self.overlay is not None)
        self.sentence.setVisible(bool(self.sentence.text()))

    def _comparing_problem(self, version: ModelVersion) -> str:
        session, current = self.session, self.session.model
        if current is None or version is current:
            return "This is the current version: choose another one to compare it with."
        if self.link.image.image_id is None and self.link.image.source is None:
            return "There is no image to compare on."
        if version.untrained or current.untrained:
            return "An untrained model finds nothing yet."
        if session.key(version) != session.key(current):
            return "The two have different classes."
        return "A comparison runs." if JOB in session.jobs else ""

    def _on_job(self, name: str) -> None:
        if name == JOB:
            view = self.session.jobs.get(JOB)
            if view is not None:
                done, stopping = view.progress, view.job.state.value == "stopping"
                self.progress.show_progress(done.done, done.total, done.text, done.seconds_left, stopping)
            self._show_chosen()

    def _show_changes(self, comparison: Comparison) -> None:
        self._clear()
        image = self.session.images.get(comparison.image_id)
        layer = self.link.image.layer_of(comparison.image_id)
        self.sentence.setText(comparison.sentence)
        if image is not None and layer is not None and comparison.changes.any():
            source = image.source
            place = self.link.image.place_of(comparison.image_id)
            self.overlay = ChangesOverlay(self.link.viewer, layer, source.axes, source.shape, comparison, place)
        self._show_chosen()

    def _on_images(self) -> None:
        if self.overlay is not None and self.overlay.comparison.image_id not in self.session.images:
            self._clear()
        self._show_chosen()

    def _clear(self) -> None:
        if self.overlay is not None:
            self.overlay.close()
            self.overlay = None
        self.sentence.setText("")
        self._show_chosen()

    def _let_go(self) -> None:
        """Leave nothing behind."""
        for signal, slot in self._connections:
            signal.disconnect(slot)
        self._connections = ()
        self.session.cancel(JOB)
        if self.overlay is not None:
            self.overlay.close()
            self.overlay = None


def card(version: ModelVersion) -> str:
    """Return what a version says about itself, and how it came about, as plain text."""
    # Here, because the section of the model opens this window.
    from napari_unet.viewer.widgets.model import describe

    lines = [f"{version.header.name} · {describe(version.header)}", version.summary, ""]
    if version.path in builtin_names():
        lines.append(model_card(version.path))
    else:
        lines += [f"{key}: {value}" for key, value in version.header.provenance.items() if key != "description"]
    return "\n".join(lines)


def agreement(numbers: Any) -> str:
    """Return the agreement of a version with the corrections held back, before and after, for the list."""
    if not isinstance(numbers, dict) or numbers.get("before") is None or numbers.get("after") is None:
        return ""
    return f"{numbers['before']:.2f} → {numbers['after']:.2f} (n={numbers.get('blocks', 0)})"


def legend() -> str:
    """Return the colours of the changes with their meanings, as rich text."""
    parts = (f'<span style="color: {COLORS[value]}">■</span> {meaning}' for value, meaning in MEANINGS.items())
    return "&nbsp;&nbsp;&nbsp;".join(parts)
