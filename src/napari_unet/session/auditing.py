"""The random checks of a session: kept, counted, and left out of all learning."""

from __future__ import annotations

from typing import Any

from napari_unet.image.boxes import Box, as_box
from napari_unet.jobs import JobRunner
from napari_unet.learning.audit import Accuracy, AuditRegion, accuracy
from napari_unet.learning.places import Suggestion
from napari_unet.project.folder import WorkFolder
from napari_unet.session.core import SessionCore


class Auditing(SessionCore):
    """What is known of the model's accuracy: see `napari_unet.learning.audit`.

    Attributes
    ----------
    audits : tuple of AuditRegion
        The random regions, each with the score of the prediction that was hidden.
    audit_scores : dict of str to dict of str to float
        Scores of other models on them: by weights hash, then by the region's name.
    """

    def __init__(self, runner: JobRunner | None = None, folder: WorkFolder | None = None) -> None:
        super().__init__(runner, folder)
        self.audits: tuple[AuditRegion, ...] = ()
        self.audit_scores: dict[str, dict[str, float]] = {}
        self.documents.register("audits", self._dump_audits, self._load_audits)
        self.documents.register("audit_scores", self._dump_audit_scores, self._load_audit_scores)

    @property
    def check(self) -> Suggestion | None:
        """The random check that is open, if there is one."""
        return None

    def unteachable(self, image_id: str) -> tuple[tuple[int, Box], ...]:
        """Return the random regions of an image, (t, box), the open one among them: nothing learns from them."""
        here = self.check
        places = [(audit.t, audit.box) for audit in self.audits if audit.image_id == image_id]
        return (*places, *([(here.t, here.box)] if here is not None and here.image_id == image_id else ()))

    def add_audit(self, region: AuditRegion) -> None:
        """Take in a random check that the user has done."""
        self._set_audits((*self.audits, region))

    def remove_audit(self, region: AuditRegion) -> None:
        """Take a random check back: its last click was undone."""
        self._set_audits(tuple(other for other in self.audits if other is not region))

    def audit_score(self, region: AuditRegion, weights_hash: str) -> float | None:
        """Return the score of a model on a random region; None if it has not been measured."""
        if region.weights_hash == weights_hash and region.score is not None:
            return region.score
        return self.audit_scores.get(weights_hash, {}).get(region.name)

    def accuracy(self) -> Accuracy | None:
        """Return the accuracy of the current model over the random regions; None if nothing tells it."""
        if self.model is None:
            return None
        scores = (self.audit_score(region, self.model.header.weights_hash) for region in self.audits)
        return accuracy([score for score in scores if score is not None])

    def _set_audits(self, regions: tuple[AuditRegion, ...]) -> None:
        self.audits = regions
        self.documents.touch("audits")
        self.events.numbers_changed.emit()

    def _dump_audits(self) -> list[dict[str, Any]]:
        return [{**vars(region), "box": [[part.start, part.stop] for part in region.box]} for region in self.audits]

    def _load_audits(self, values: list[dict[str, Any]]) -> None:
        self.audits = tuple(AuditRegion(**{**one, "box": as_box(*zip(*one["box"], strict=True))}) for one in values)
        self.events.numbers_changed.emit()

    def _dump_audit_scores(self) -> dict[str, dict[str, float]]:
        return self.audit_scores

    def _load_audit_scores(self, value: dict[str, dict[str, float]]) -> None:
        self.audit_scores = {model: dict(scores) for model, scores in value.items()}
