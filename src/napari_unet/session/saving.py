"""The session on the disk: everything is saved by itself, while the user goes on."""

from __future__ import annotations

import math
import time
import traceback
from collections.abc import Callable, Iterable
from functools import partial

import numpy as np
import numpy.typing as npt

from napari_unet.errors import UserError
from napari_unet.image.boxes import Box
from napari_unet.jobs import JobRunner
from napari_unet.project.folder import WorkFolder
from napari_unet.project.records import Record
from napari_unet.project.store import Store
from napari_unet.session.listing import Listing
from napari_unet.session.tracking import TruthTracker

SAVE_SECONDS = 0.0015  # of the main thread at a time
DOCUMENT_SECONDS = 0.5  # between two looks at images, models and documents
LATE_SECONDS = 0.5  # after which what the user said gets more time
RETRY_SECONDS = 10.0  # after an error of the disk
LIMIT_BYTES = 2**26  # of predictions that wait for the disk


class Saving(Listing):
    """Saves a session into its project while it is worked on.

    Every change of a truth is seen by its `TruthTracker`; `deliver` copies what changed, for about a
    millisecond at a time, and a thread writes it. A script that never delivers calls `save`.
    """

    def __init__(self, runner: JobRunner | None = None, folder: WorkFolder | None = None) -> None:
        super().__init__(runner, folder)
        self._saved_at = 0.0
        self._looked_at = 0.0
        self._retry_at = math.inf
        self._blocked_until = 0.0
        self._behind_since = math.inf  # when more was accepted at once than could be handed on

    # ---- what the user sees --------------------------------------------------------------------

    @property
    def saved_at(self) -> float | None:
        """When something was saved last, seconds since the epoch; None if nothing was, or something waits."""
        waits = any(tracker.has_known for tracker in self._trackers.values())
        return None if waits or self._store is None or not self._saved_at else self._saved_at

    def save(self) -> None:
        """Save everything now, and return once it is on the disk."""
        self._save_some(math.inf)
        self._save_documents()
        if self._store is not None:
            self._keep_images()
            self._save_documents()
            self._store.finish()
            self._tell_errors(self._store)

    def save_stroke_so_far(self, image_id: str, t: int, box: Box, swept: npt.NDArray[np.bool_] | None) -> None:
        """Save what a stroke under way has painted, without a step of the history.

        Parameters
        ----------
        image_id : str
            Which image.
        t : int
            Time point.
        box : tuple of slice
            (z, y, x), inside the image; holds what was painted or swept since the last call.
        swept : ndarray of bool, of the box's shape, or None
            Voxels that the tool passed over.
        """
        labels = self._strokes.get(image_id)
        if labels is None:
            return
        self._track()
        tracker = next((t for t in self._trackers.values() if t.labels is labels), None)
        record = None if tracker is None else tracker.stroke_so_far(t, box, swept)
        if tracker is not None and record is not None:
            self._need_store().put_known(tracker.image, tracker.name, record)

    # ---- when ----------------------------------------------------------------------------------

    def deliver(self, seconds: float = 0.008) -> None:
        """Do what waited and handle messages of jobs, as before; then save for about a millisecond."""
        super().deliver(seconds)
        now = time.monotonic()
        if now < self._blocked_until:
            return
        try:
            late = now - self._behind_since > LATE_SECONDS
            self._save_some(SAVE_SECONDS * (4 if late else 1))
            if not any(tracker.has_known for tracker in self._trackers.values()):
                self._behind_since = math.inf
            elif math.isinf(self._behind_since):
                self._behind_since = now
            if now - self._looked_at > DOCUMENT_SECONDS:
                self._looked_at = now
                self._save_documents()
                if self._store is not None:
                    self._keep_images()
                    self._tell_errors(self._store)
        except UserError as error:  # no folder can be made: not every tick of the window has to say so
            self._blocked_until = now + RETRY_SECONDS
            self._tell_error(error)

    def remove_image(self, image_id: str) -> None:
        """Forget an image; what was corrected in it stays in the project, and so does a copy of the image."""
        self._track()
        if self._store is not None or any(tracker.has_known for tracker in self._trackers.values()):
            self._save_some(math.inf)
            self._save_documents()
        super().remove_image(image_id)

    @property
    def busy(self) -> bool:
        """Whether `deliver` should be called soon: a job runs, or something waits, also to be saved."""
        return super().busy or any(t.has_known or self._may_save(t) for t in self._trackers.values())

    def close(self) -> None:
        """Stop all jobs, save everything and remove temporary files."""
        self.runner.close()
        try:
            self._close_project()
        except UserError as error:  # no folder can be made; the processes end all the same
            self._tell_error(error)
        super().close()
        self._folder = None

    def _close_project(self) -> None:
        """Save everything and let go of the files; the folder stays open."""
        self.save()
        if self._store is not None:
            try:
                self._copy_now()
            except UserError as error:
                self._tell_error(error)
            self._save_documents()
            self._store.close()
            self._tell_errors(self._store)
        self._store = None
        for tracker in self._trackers.values():
            tracker.close()
        self._trackers.clear()

    # ---- what ----------------------------------------------------------------------------------

    def _may_save(self, tracker: TruthTracker) -> bool:
        """Whether a prediction waits and can be saved: it is complete, there is a project for it, and it is to stay.

        While a round waits for a decision the prediction is a preview. Nothing else is predicted meanwhile, so the
        disk keeps what *Discard* would bring back.
        """
        complete = "segment" not in self.jobs and self.round is None
        return complete and tracker.has_predictions and self._folder is not None

    def _save_some(self, seconds: float) -> None:
        """Hand on what changed for about `seconds`; what the user said comes first."""
        end = time.perf_counter() + seconds
        if time.monotonic() > self._retry_at:
            self._retry_at = math.inf
            for tracker in self._trackers.values():
                tracker.mark_all()
        self._track()
        trackers = tuple(self._trackers.values())
        limit = LIMIT_BYTES if math.isfinite(end) else math.inf
        for tracker in trackers:
            if tracker.has_known:
                put = partial(self._need_store().put_known, tracker.image, tracker.name)
                self._hand_on(tracker.take_known(), put, end, math.inf)
        for tracker in trackers:
            if self._may_save(tracker):
                put = partial(self._need_store().put_prediction, tracker.image, tracker.name)
                self._hand_on(tracker.take_predictions(), put, end, limit)
        if self._dropped and self._store is not None and not any(t.has_known for t in trackers):
            self._save_documents()  # the list of images must not name files that are gone
            used = {(tracker.image, tracker.name) for tracker in trackers}
            for image, name in self._dropped:
                if (image, name) not in used:
                    self._store.drop_truth(image, name)
            self._dropped.clear()

    def _hand_on(
        self, records: Iterable[Record], put: Callable[[Record], None], end: float, limit_bytes: float
    ) -> None:
        """Put records until there are none, the time is over, or too much waits for the disk."""
        for record in records:
            put(record)
            self._saved_at = time.time()
            if time.perf_counter() > end or self._need_store().waiting_bytes > limit_bytes:
                return

    def _tell_errors(self, store: Store) -> None:
        error = store.take_error()
        if error is not None:
            self._retry_at = time.monotonic() + RETRY_SECONDS
            self._tell_error(error)

    def _tell_error(self, error: BaseException) -> None:
        details = "".join(traceback.format_exception(error))
        self.events.message.emit("error", f"The project could not be saved: {error} It is tried again.", details)
