"""Commands of the quick refit: seconds of training on what is known, shown at once, adopted only by the user."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from napari_unet.image.boxes import Box, overlap
from napari_unet.jobs import Job
from napari_unet.learning.audit import audited
from napari_unet.learning.edits import Edit
from napari_unet.learning.edits import Step as TruthChange
from napari_unet.session.correcting import Correcting
from napari_unet.session.state import LabelState
from napari_unet.session.training import Training

PAUSE = 1.2  # seconds without a correction after which the refit comes by itself, where that is asked for


class Refitting(Training, Correcting):
    """What gives a first look at what the corrections teach."""

    def refit(self) -> Job | None:
        """Train for a few seconds and show what the result predicts.

        It starts from the current model each time, on everything that is known by then. Nothing is
        measured and nothing is adopted: the next refit, *Retrain* or *Discard* drops what is shown,
        *Keep* adopts it.

        Returns
        -------
        Job or None
            None if it has ended already (inline jobs).

        Raises
        ------
        TrainingError
            If nothing is known.
        UserError
            If a round runs, or a measured one waits for a decision.
        """
        self._last_edit = None
        return self.retrain(self.settings.first_seconds, self.settings.first_steps, quick=True)

    def refit_when_pausing(self, wanted: bool) -> None:
        """Choose whether the refit comes by itself whenever the user pauses."""
        self.settings = replace(self.settings, refit_when_pausing=wanted)

    def deliver(self, seconds: float = 0.008) -> None:
        """Do what waited, handle messages of jobs, and refit if the user paused."""
        super().deliver(seconds)
        if self._refit_is_due():
            self.refit()

    def undo(self) -> str | None:
        """Take the newest step back; a quick refit on top is dropped, for it is no step of the user's."""
        if self.preview is not None and self.history.newest is self.preview and self.undecided is None:
            self.discard()
            return "quick refit"
        return super().undo()

    def record(self, title: str, image_id: str, labels: LabelState, change: TruthChange | None) -> bool:
        """Put a change into the history; a correction is something to learn from, but for those in random checks."""
        if isinstance(change, Edit) and not any(
            t == change.t and overlap(box, change.box) is not None for t, box in self.unteachable(image_id)
        ):
            self._last_edit = time.monotonic()
            self.last_corrected = (image_id, change.t)
        return super().record(title, image_id, labels, change)

    def end_stroke(
        self, image_id: str, t: int, box: Box, swept: npt.NDArray[np.bool_] | None, title: str = "paint"
    ) -> bool:
        """Take over what a tool painted; the strokes of a second class start a new model's first round.

        Parameters and return value are those of `Correcting.end_stroke`.
        """
        changed = super().end_stroke(image_id, t, box, swept, title)
        labels = self.labels(image_id)
        untrained = self.model is not None and self.model.untrained
        if changed and untrained and labels is not None and "train" not in self.jobs:
            if self.last_view is None:
                self.last_view = (image_id, None, False, (t,))
            if len(self._kinds(image_id)) >= 2:
                self.refit()
        return changed

    def _refit_is_due(self) -> bool:
        if not self.settings.refit_when_pausing or self._last_edit is None or self.model is None:
            return False
        if time.monotonic() < self._last_edit + PAUSE or any(
            name in self.jobs for name in ("train", "segment", "model")
        ):
            return False
        stroking = any(labels.stroking for image in self.images.values() for labels in image.labels.values())
        if stroking or self.undecided is not None:
            return False
        found = {kind for image_id in self.images for kind in self._kinds(image_id)}
        if len(found) < 2:
            self._last_edit = None  # to look through all labels once a pause is enough
        return len(found) >= 2

    def _kinds(self, image_id: str) -> set[int]:
        """Return what is known in an image: classes, or background 0 and objects 1."""
        labels = self.labels(image_id)
        if labels is None:
            return set()
        found = known_classes(labels, self.unteachable(image_id))
        return {min(value, 1) for value in found} if labels.truth.instances else found


def known_classes(labels: LabelState, hidden: Sequence[tuple[int, Box]] = ()) -> set[int]:
    """Return the label values that occur among the known voxels, those of random regions, `hidden`, left out."""
    truth, found = labels.truth, set()
    for t in range(truth.labels.shape[0]):
        box = truth.known_box(t)
        if box is not None:
            teaches = truth.known[t][box] & ~audited(hidden, t, box)
            found.update(np.unique(truth.labels[t][box][teaches]).tolist())
    return found
