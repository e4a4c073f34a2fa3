"""The section of the project: everything is saved by itself; earlier work is opened again with one click."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, Qt, QTimer
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QLabel, QMenu, QPushButton, QSizePolicy, QWidget

from napari_unet.viewer.widgets.icons import IconButton
from napari_unet.viewer.widgets.parts import Section, enable, sentence_label

if TYPE_CHECKING:
    from napari_unet.project.recent import RecentProject
    from napari_unet.viewer.link import ViewerLink

SETTLE = 300  # ms after opening before the disk is asked for earlier projects


class ProjectSection(Section):
    """Where the work is kept; reopen, move, and point to images that were moved.

    Parameters
    ----------
    link : ViewerLink
        The viewer and its session.
    """

    def __init__(self, link: ViewerLink) -> None:
        super().__init__("Project")
        self.link, self.session = link, link.session
        self.name = SavedLabel(link)
        self.header.addWidget(self.name, 1)
        self.reopen = QPushButton("Reopen last")
        self.reopen.clicked.connect(lambda: self._open_last())
        self.more = IconButton("down", "Earlier projects")
        self.more.setFixedWidth(20)
        self.more.setMenu(QMenu(self.more))
        self.more.menu().aboutToShow.connect(self._fill)
        self.header.addWidget(self.reopen)
        self.header.addWidget(self.more)
        self.move_button = QPushButton("Move…")
        self.move_button.clicked.connect(self._move)
        self.row(self.move_button, stretch=True)
        self.missing = QWidget()
        self._missing_layout = QHBoxLayout(self.missing)
        self._missing_layout.setContentsMargins(0, 0, 0, 0)
        self.missing_text = sentence_label()
        self.find = QPushButton("Find…")
        self.find.clicked.connect(self._find)
        self._missing_layout.addWidget(self.missing_text, 1)
        self._missing_layout.addWidget(self.find)
        self.body.addWidget(self.missing)
        self.toggle.setChecked(False)
        self._recent: list[RecentProject] = []
        self.refresh()
        self._look = QTimer(self)
        self._look.setSingleShot(True)
        self._look.timeout.connect(self.look)
        self._look.start(SETTLE)

    def refresh(self) -> None:
        """Show which project is open and what can be done with it."""
        path = self.session.project_path
        self.name.show_path(path)
        busy = "A job runs: wait for it or stop it." if set(self.session.jobs) - {"keep"} else ""
        enable(
            self.move_button, busy or ("" if path else "Nothing is saved yet."), "Move the project to another folder"
        )
        last = self._recent[0] if self._recent else None
        none = "" if last is not None else "There is no earlier project yet."
        enable(self.reopen, busy or none, "" if last is None else f"Open {describe(last)}")
        self.more.setEnabled(not busy)
        missing = list(self.session.missing_images.values())
        self.missing.setVisible(bool(missing))
        if missing:
            self.missing_text.setText(
                f"“{missing[0].name}” is missing" + f" (1 of {len(missing)})" * (len(missing) > 1)
            )
            self.missing_text.setToolTip(str(missing[0].problem))
            self.toggle.setChecked(True)

    def look(self) -> None:
        """Look for earlier projects on the disk."""
        self._recent = self.session.recent_projects()
        self.refresh()

    # ---- opening -------------------------------------------------------------------------------

    def _open_last(self) -> None:
        self.look()
        if self._recent:
            self._open(self._recent[0].path)

    def _open(self, path: Path) -> None:
        self.link.run(lambda: self.link.projects.open(path))
        self.look()

    def _fill(self) -> None:
        self.look()
        menu = self.more.menu()
        menu.clear()
        for project in self._recent:
            menu.addAction(describe(project), lambda chosen=project: self._open(chosen.path))
        menu.addSeparator()
        menu.addAction("Other folder…", self._ask)

    def _ask(self) -> None:
        path = QFileDialog.getExistingDirectory(self, "Open a project")
        if path:
            self._open(Path(path))

    # ---- moving --------------------------------------------------------------------------------

    def _move(self) -> None:
        path = QFileDialog.getExistingDirectory(self, "Move the project into this folder")
        if path:
            self.link.run(lambda: self.session.move_project(path))
            self.refresh()

    def _find(self) -> None:
        missing = next(iter(self.session.missing_images.values()), None)
        if missing is not None:
            question = f"Where is {missing.name} now?"
            if missing.folder:
                path = QFileDialog.getExistingDirectory(self, question)
            else:
                path, _ = QFileDialog.getOpenFileName(self, question)
            if path:
                self.link.run(lambda: self.link.projects.relink(missing.image_id, path))
                self.refresh()


class SavedLabel(QLabel):
    """The name of the project's folder; its tooltip says when it was saved, and where it is."""

    def __init__(self, link: ViewerLink) -> None:
        super().__init__()
        self._session = link.session
        self._name = ""
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)

    def show_path(self, path: Path | None) -> None:
        """Show the name of a folder."""
        name = "" if path is None else path.name
        if name != self._name or not self.text():
            self._name = name
            self.setText(name or "new")

    def event(self, event: QEvent) -> bool:
        """Find out what the tooltip says only when somebody looks at it."""
        if event.type() == QEvent.Type.ToolTip:
            self.setToolTip(self.status())
        return bool(super().event(event))

    def status(self) -> str:
        """Return where the project is and when it was saved."""
        path, saved = self._session.project_path, self._session.saved_at
        if path is None:
            return "Everything is saved by itself, from the first stroke on."
        when = "saving…" if saved is None else f"saved {max(0, round(time.time() - saved))} s ago"
        return f"{path}\n{when}"


def describe(project: RecentProject) -> str:
    """Return a line about a project: its images, and when it was worked on.

    Parameters
    ----------
    project : RecentProject
        Which one.
    """
    names = ", ".join(project.images[:3]) + (f" and {len(project.images) - 3} more" if len(project.images) > 3 else "")
    when = time.strftime("%d %b %H:%M", time.localtime(project.modified))
    return f"{names or project.path.name} · {when}"
