"""The panel: one dock widget, its sections in the order of the work."""

from __future__ import annotations

import atexit
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QEvent, Qt, QTimer
from qtpy.QtWidgets import QFrame, QScrollArea, QVBoxLayout, QWidget

from napari_unet.jobs import JobState
from napari_unet.viewer.activity import Activity
from napari_unet.viewer.link import ViewerLink
from napari_unet.viewer.widgets.classes import ClassesSection
from napari_unet.viewer.widgets.export import ExportSection
from napari_unet.viewer.widgets.image import ImageSection
from napari_unet.viewer.widgets.known import KnownSection
from napari_unet.viewer.widgets.messages import MessageBar
from napari_unet.viewer.widgets.model import ModelSection
from napari_unet.viewer.widgets.progress import ProgressSection
from napari_unet.viewer.widgets.project import ProjectSection
from napari_unet.viewer.widgets.retrain import RetrainSection
from napari_unet.viewer.widgets.segment import SegmentSection

if TYPE_CHECKING:
    import napari

DEFAULT_MODEL = "nuclei-2d"
PROGRESS_INTERVAL = 400  # ms between two looks at how far a job is
SETTLE = 400  # ms after opening before what is needed later is made ready


class UNetPanel(QWidget):
    """Segment with a U-Net, correct by hand, retrain, export.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        The viewer; napari hands it over.
    """

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__()
        self.setObjectName("unet-panel")
        self.link = ViewerLink(napari_viewer)
        self.session = self.link.session
        self._activity = Activity(self.link.viewer, self.session)
        self.project = ProjectSection(self.link)
        self.model = ModelSection(self.link)
        self.image = ImageSection(self.link)
        self.segment = SegmentSection(self.link)
        self.classes = ClassesSection(self.link)
        self.known = KnownSection(self.link)
        self.retrain = RetrainSection(self.link)
        self.progress = ProgressSection(self.link)
        self.export = ExportSection(self.link)
        self.message = MessageBar()
        self.sections = (
            self.project,
            self.model,
            self.image,
            self.segment,
            self.classes,
            self.known,
            self.retrain,
            self.progress,
            self.export,
        )
        self._lay_out()
        self._disposed = False
        self._seen_shown = False
        self._job_states: dict[str, JobState] = {}
        self._progress = QTimer(self)
        self._progress.setSingleShot(True)
        self._progress.timeout.connect(self._show_progress)
        events = self.session.events
        self._connections: tuple[tuple[Any, Any], ...] = (
            (events.project_changed, self.project.refresh),
            (events.images_changed, self._on_image),
            (events.model_changed, self._on_model),
            (events.labels_created, self._on_labels),
            (events.known_changed, self._on_known),
            (events.job_changed, self._on_job),
            (events.round_changed, self._on_model),
            (events.history_changed, self._on_history),
            (events.suggestion_changed, self._on_history),
            (events.numbers_changed, self._on_numbers),
            (events.consent_needed, self.model.ask_for_code),
            (events.answers_needed, self.model.ask_about),
            (events.message, self._on_message),
            (self.link.image.changed, self._on_image),
            (self.link.changed, self._on_link),
            (self.link.overlay_changed, self.known.show_overlay),
        )
        for signal, slot in self._connections:
            signal.connect(slot)
        # A window may be destroyed around the panel, and a program may end with the window open.
        self.destroyed.connect(partial(UNetPanel._let_go, self))
        atexit.register(self.dispose)
        if self.session.model is None and DEFAULT_MODEL in self.session.model_names():
            self.link.run(lambda: self.session.start_with(DEFAULT_MODEL))

    def _lay_out(self) -> None:
        inside = QWidget()
        layout = QVBoxLayout(inside)
        layout.setContentsMargins(4, 4, 6, 4)
        layout.setSpacing(0)
        for index, section in enumerate(self.sections):
            if index:
                line = QFrame()
                line.setFrameShape(QFrame.Shape.HLine)
                line.setFixedHeight(1)
                layout.addWidget(line)
            layout.addWidget(section)
        layout.addStretch(1)
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setWidget(inside)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.setSpacing(2)
        outer.addWidget(scroll, 1)
        outer.addWidget(self.message)
        self.setMinimumSize(280, 300)

    # ---- life ----------------------------------------------------------------------------------

    def event(self, event: QEvent) -> bool:
        """Close down when the dock lets go of the panel; napari does not delete it."""
        if event.type() == QEvent.Type.ParentChange and self.parent() is None and self._seen_shown:
            self.dispose()
        return bool(super().event(event))

    def showEvent(self, event: Any) -> None:
        """Once the panel stands, make ready what a later click needs."""
        super().showEvent(event)
        if not self._seen_shown:
            self._seen_shown = True
            QTimer.singleShot(SETTLE, self._settle)

    def _settle(self) -> None:
        if not self._disposed:
            self.session.warm("compute")
            if self.session.runner.mode == "process":
                self.session.find_devices(self._offer_devices)
            self.retrain.prepare()
            QTimer.singleShot(0, warm_labels)

    def _offer_devices(self, names: tuple[str, ...]) -> None:
        if not self._disposed:
            self.model.offer_devices(names)

    def dispose(self) -> None:
        """Stop jobs and let go of the viewer; what is known stays with its session."""
        if self._disposed:
            return
        self._progress.stop()
        self.segment.stop()
        self.model.close_history()
        self._let_go()

    def _let_go(self) -> None:
        """Do what needs nothing of Qt's side of the panel, which may be gone."""
        if self._disposed:
            return
        self._disposed = True
        atexit.unregister(self.dispose)
        self._activity.close()
        for signal, slot in self._connections:
            signal.disconnect(slot)
        self.link.close()

    # ---- events --------------------------------------------------------------------------------

    def _on_image(self) -> None:
        self.image.refresh()
        self._on_link()

    def _on_link(self) -> None:
        self.segment.refresh()
        self.known.refresh()
        self.retrain.refresh()
        self.progress.refresh()
        self.export.refresh()

    def _on_model(self) -> None:
        self.project.refresh()
        self.model.refresh()
        self.classes.refresh()
        self._on_link()

    def _on_labels(self, image_id: str) -> None:
        self._on_link()

    def _on_known(self, image_id: str) -> None:
        self.known.refresh()
        self.retrain.refresh()
        self.progress.refresh()

    def _on_numbers(self) -> None:
        self.retrain.refresh()
        self.progress.refresh()

    def _on_history(self) -> None:
        self.known.refresh()

    def _on_message(self, level: str, sentence: str, details: str) -> None:
        last = self.session.round or self.session.last_round
        if last is None or sentence != last.decision.sentence:  # which the section of retraining shows
            self.message.say(level, sentence, details)

    def _on_job(self, name: str) -> None:
        """Show that a job started, stops or ended at once, and how far it is now and then.

        Each change of the panel makes the whole window draw itself again, the picture included.
        """
        view = self.session.jobs.get("segment")
        if view is not None:
            self.model.refresh_note(view.note)
        states = {job: view.job.state for job, view in self.session.jobs.items()}
        if states != self._job_states:
            if "train" in states and "train" not in self._job_states:
                self.message.be_done()  # it may say to click Retrain
            self._job_states = states
            self._on_model()
            self._show_progress()
        elif not self._progress.isActive():
            self._progress.start(PROGRESS_INTERVAL)

    def _show_progress(self) -> None:
        if "segment" in self.session.jobs:
            self.segment.refresh()
        if "train" in self.session.jobs:
            self.retrain.refresh()


def warm_labels() -> None:
    """Make a Labels layer that nobody sees: the first one imports pandas, which takes a third of a second."""
    from napari.layers import Labels

    Labels(np.zeros((1, 1), np.uint8))
