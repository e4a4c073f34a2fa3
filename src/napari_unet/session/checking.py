"""Random checks: the prediction in one region is hidden, the user labels all of it, and only then it is compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_unet.errors import UserError
from napari_unet.image.boxes import Box, as_box, overlap
from napari_unet.jobs import JobRunner
from napari_unet.learning.audit import AuditRegion
from napari_unet.learning.edits import Edit, combine
from napari_unet.learning.places import RANDOM_REASON, Suggestion
from napari_unet.learning.scoring import agreement
from napari_unet.project.folder import WorkFolder
from napari_unet.session.auditing import Auditing
from napari_unet.session.effort import Effort
from napari_unet.session.state import LabelState
from napari_unet.session.steps import LabelStep


@dataclass(frozen=True)
class CheckStep(LabelStep):
    """A random check that was begun, done or skipped, in the history.

    Attributes
    ----------
    before, after : Suggestion or None
        The check that was open before and after.
    region : AuditRegion or None
        What was learned by doing it.
    """

    session: Checking
    before: Suggestion | None
    after: Suggestion | None
    region: AuditRegion | None = None

    def undo(self) -> None:
        """Return to where the check was before."""
        if self.region is not None:
            self.session.remove_audit(self.region)
        self.session.set_check(self.labels, self.before)
        super().undo()

    def redo(self) -> None:
        """Go on to where the check was after."""
        super().redo()
        self.session.set_check(self.labels, self.after)
        if self.region is not None:
            self.session.add_audit(self.region)


class Checking(Auditing, Effort):
    """Opens and closes random checks; at most one is open.

    Attributes
    ----------
    suggestion : Suggestion or None
        The region that the user was led to.
    """

    def __init__(self, runner: JobRunner | None = None, folder: WorkFolder | None = None) -> None:
        super().__init__(runner, folder)
        self.suggestion: Suggestion | None = None
        self._checked: LabelState | None = None  # whose prediction is hidden
        self._reopen: Suggestion | None = None  # a check from an earlier session, until its image has labels
        self.documents.register("check", self._dump_check, self._load_check)
        self.events.labels_created.connect(self._on_labels_created)
        self.events.images_changed.connect(self._on_images_gone)
        self.events.model_changed.connect(self._on_meaning_changed)

    @property
    def check(self) -> Suggestion | None:
        """The random check that is open, if there is one."""
        return self.suggestion if self._checked is not None else None

    def open_check(self, suggestion: Suggestion) -> None:
        """Hide the prediction in a region, as a step of the history."""
        labels = self.ensure_labels(suggestion.image_id)
        self.need_lifted(labels)
        self._walk("random check", labels, suggestion)

    def done_check(self) -> AuditRegion:
        """Take the region as labelled completely: it becomes known, and the hidden prediction is compared with it.

        Raises
        ------
        UserError
            If no random check is open.
        """
        here, labels = self._need_check()
        self.acted()
        edit = labels.truth.accept(here.t, here.box)
        score, weights_hash = self._hidden_score(here, labels)
        region = AuditRegion(here.image_id, here.t, here.box, self.effort_minutes, score, weights_hash)
        self._walk("random check done", labels, None, edit, region)
        return region

    def skip_check(self) -> None:
        """Show the hidden prediction again, as a step of the history; what was painted meanwhile stays.

        Raises
        ------
        UserError
            If no random check is open.
        """
        _, labels = self._need_check()
        self._walk("skip random check", labels, None)

    def leave_check(self) -> None:
        """Go on from the open check: done if anything was labelled in it, skipped if nothing was."""
        here, labels = self._need_check()
        if labels.truth.known[here.t][here.box].any():
            self.done_check()
            return
        self.skip_check()
        sentence = "The random check was skipped: nothing was labelled in its frame. If it is empty, click Done."
        self.events.message.emit("info", sentence, "")

    def accept_box(self, image_id: str, t: int, box: Box, title: str = "accept view", **options: Any) -> bool:
        """Accept as `Correcting.accept_box` does; never what a check hides, which would become background.

        Raises
        ------
        UserError
            If the box reaches into the frame of the open check.
        """
        here = self.check
        if here is not None and (here.image_id, here.t) == (image_id, t) and overlap(here.box, box) is not None:
            raise UserError("A random check hides the prediction in a part of this.", "Click Done or Skip first.")
        return super().accept_box(image_id, t, box, title, **options)

    def set_check(self, labels: LabelState, check: Suggestion | None) -> None:
        """Open or close a check, outside the history (its steps use this)."""
        places = labels.truth.set_veil(None if check is None else (check.t, check.box))
        image_id = next(
            (i for i, image in self.images.items() if any(o is labels for o in image.labels.values())), None
        )
        if check is not None or self.check is not None:
            self.suggestion = check
        self._checked = None if check is None else labels
        if image_id is not None:
            self.tell_places(image_id, labels, places)
        self.documents.touch("check")
        self.events.suggestion_changed.emit()

    def need_no_check(self, image_id: str) -> None:
        """Raise a `UserError` while a prediction of this image is hidden."""
        if self.check is not None and self.check.image_id == image_id:
            raise UserError(
                "A random check hides the prediction in one region of this image.", "Click Done or Skip first."
            )

    def _walk(
        self,
        title: str,
        labels: LabelState,
        after: Suggestion | None,
        edit: Edit | None = None,
        region: AuditRegion | None = None,
    ) -> None:
        before = self.check
        at = after or before
        if at is None:
            return
        change = combine([] if edit is None else [edit])
        step = CheckStep(title, self, at.image_id, labels, change, before, after, region)
        self.set_check(labels, after)
        if region is not None:
            self.add_audit(region)
        self.history.add(step)
        self.events.history_changed.emit()
        if edit is not None:
            self.tell_places(at.image_id, labels, ((edit.t, edit.box),))

    def _need_check(self) -> tuple[Suggestion, LabelState]:
        here, labels = self.check, self._checked
        if here is None or labels is None:
            raise UserError("No random check is open.", "Click Next to be led to a region.")
        self.need_lifted(labels)
        return here, labels

    def _hidden_score(self, here: Suggestion, labels: LabelState) -> tuple[float | None, str]:
        """Return the score of what was hidden and the hash of its model; None where nothing was predicted."""
        model = labels.model
        covered = any(t == here.t and overlap(box, here.box) is not None for t, box in labels.frames)
        if model is None or not covered:
            return None, ""
        truth = labels.truth.labels[here.t][here.box]
        hidden = labels.truth.prediction[here.t][here.box]
        return agreement(truth, hidden, np.ones(truth.shape, bool), model.output), model.weights_hash

    # ---- what may happen meanwhile -------------------------------------------------------------

    def _on_meaning_changed(self) -> None:
        """Another model whose labels mean something else: the check belongs to labels that are not on screen."""
        here, labels = self.check, self._checked
        if here is not None and labels is not None and here.image_id in self.images:
            current = self.labels(here.image_id)
            if current is not None and current is not labels:
                self.set_check(labels, None)
                sentence = "The random check was closed: the labels of this model mean something else."
                self.events.message.emit("info", sentence, "")

    def _on_images_gone(self) -> None:
        if self.suggestion is not None and self.suggestion.image_id not in self.images:
            self.suggestion, self._checked = None, None
            self.documents.touch("check")
            self.events.suggestion_changed.emit()

    def _dump_check(self) -> dict[str, Any] | None:
        here = self.check or self._reopen
        if here is None:
            return None
        return {"image_id": here.image_id, "t": here.t, "box": [[part.start, part.stop] for part in here.box]}

    def _load_check(self, value: dict[str, Any] | None) -> None:
        self.suggestion, self._checked, self._reopen = None, None, None
        self.events.suggestion_changed.emit()
        if value is None:
            return
        box = as_box(*zip(*value["box"], strict=True))
        self._reopen = Suggestion(value["image_id"], value["t"], box, "random", RANDOM_REASON)
        self._on_labels_created(value["image_id"])

    def _on_labels_created(self, image_id: str) -> None:
        """Hide again what was hidden when the work was closed."""
        waiting = self._reopen
        if waiting is None or waiting.image_id != image_id or image_id not in self.images:
            return
        labels = self.labels(image_id)
        if labels is not None:
            self._reopen = None
            self.set_check(labels, waiting)
