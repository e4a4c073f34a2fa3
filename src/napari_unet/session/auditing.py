"""The random checks of a session: kept, counted, and left out of all learning."""

from __future__ import annotations

from typing import Any

from napari_unet.image.boxes import as_box
from napari_unet.jobs import JobRunner
from napari_unet.learning.audit import AuditRegion
from napari_unet.project.folder import WorkFolder
from napari_unet.session.core import SessionCore


class Auditing(SessionCore):
    """What is known of the model's accuracy: see `napari_unet.learning.audit`."""

    def __init__(self, runner: JobRunner | None = None, folder: WorkFolder | None = None) -> None:
        super().__init__(runner, folder)
        self.audits: tuple[AuditRegion, ...] = ()
        self.documents.register("audits", self._dump_audits, self._load_audits)

    def add_audit(self, region: AuditRegion) -> None:
        """Take in a random check that the user has done."""
        self._set_audits((*self.audits, region))

    def remove_audit(self, region: AuditRegion) -> None:
        """Take a random check back: its last click was undone."""
        self._set_audits(tuple(other for other in self.audits if other is not region))

    def _set_audits(self, regions: tuple[AuditRegion, ...]) -> None:
        self.audits = regions
        self.documents.touch("audits")

    def _dump_audits(self) -> list[dict[str, Any]]:
        return [{**vars(region), "box": [[part.start, part.stop] for part in region.box]} for region in self.audits]

    def _load_audits(self, values: list[dict[str, Any]]) -> None:
        self.audits = tuple(AuditRegion(**{**one, "box": as_box(*zip(*one["box"], strict=True))}) for one in values)
