"""Honest numbers: regions scored before they are corrected, the guard, which blocks validate, how far the work is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from napari_unet.image.boxes import Box, as_box, overlap
from napari_unet.jobs import Job, JobRunner, JobState
from napari_unet.learning.assignment import Assignment
from napari_unet.learning.audit import AuditRegion, audited
from napari_unet.learning.edits import Edit
from napari_unet.learning.edits import Step as TruthChange
from napari_unet.learning.guard import GuardRegion, guard_region
from napari_unet.learning.prequential import FEWEST_VOXELS, ClosedRegion, CorrectedRegion, OpenRegion
from napari_unet.learning.settings import TrainSettings
from napari_unet.learning.verdict import Verdict, judge
from napari_unet.project.folder import WorkFolder
from napari_unet.session.auditing import Auditing
from napari_unet.session.crops import region_crops
from napari_unet.session.effort import Effort
from napari_unet.session.number_tasks import AuditRequest, RegionRequest, score_audits, score_region
from napari_unet.session.state import LabelState, ModelVersion, statistics_key
from napari_unet.session.training_tasks import KnownImage


class Numbers(Auditing, Effort):
    """What is measured while the user works.

    Attributes
    ----------
    assignment : Assignment
        Which places of the images validate; append-only.
    guard : tuple of GuardRegion
        The regions that the work began with.
    corrected : tuple of CorrectedRegion
        Regions with the score before they were corrected, in the order in which they were left.
    """

    def __init__(self, runner: JobRunner | None = None, folder: WorkFolder | None = None) -> None:
        super().__init__(runner, folder)
        self.assignment = Assignment()
        self.guard: tuple[GuardRegion, ...] = ()
        self.corrected: tuple[CorrectedRegion, ...] = ()
        self._open: OpenRegion | None = None
        self.documents.register("blocks", lambda: self.assignment.dump(), self._load_blocks)
        self.documents.register("guard", lambda: [_values(region) for region in self.guard], self._load_guard)
        self.documents.register(
            "prequential", lambda: [_values(region) for region in self.corrected], self._load_corrected
        )
        self.events.model_changed.connect(self._measure_when_idle)
        self.events.suggestion_ready.connect(lambda suggestion: self.close_region())

    # ---- blocks --------------------------------------------------------------------------------

    def set_group(self, image_id: str, name: str) -> None:
        """Say which animal, slide or patient an image comes from; an empty name takes it back.

        Images of one group validate or train together, once whole images are held back. What has a role keeps it.
        """
        self.image(image_id)
        self.assignment = self.assignment.with_group(image_id, name)
        self.documents.touch("blocks")

    def current_assignment(self) -> Assignment:
        """Return the roles for a round that starts now; the first one takes the seed of the settings."""
        if not self.assignment.blocks and not self.assignment.images:
            self.assignment = replace(self.assignment, seed=self.settings.seed)
        return self.assignment

    def take_assignment(self, assignment: Assignment) -> None:
        """Keep the roles that a round has given; those that there are stay."""
        self.assignment = self.assignment.merged(assignment)
        self.documents.touch("blocks")

    # ---- regions before they are corrected -----------------------------------------------------

    def record(self, title: str, image_id: str, labels: LabelState, change: TruthChange | None) -> bool:
        """Put a change that has been made into the history and tell about it."""
        if isinstance(change, Edit):
            self._follow(image_id, labels, change, title.startswith("accept"))
        return super().record(title, image_id, labels, change)

    def _follow(self, image_id: str, labels: LabelState, edit: Edit, accepting: bool) -> None:
        """Add a change to the region that is being corrected, or start one where there is a prediction."""
        if self._open is not None:
            if self._open.takes(image_id, labels.truth, edit):
                self._open.add(edit, accepting)
                return
            self.close_region()
        predicted = any(t == edit.t and overlap(box, edit.box) is not None for t, box in labels.frames)
        if labels.model is not None and predicted:
            self._open = OpenRegion(image_id, labels.truth, labels.model, edit, accepting)

    def close_region(self) -> None:
        """Take the region that is being corrected as done: it gets the score of the prediction before.

        Happens by itself when the user corrects elsewhere, clicks Next or Retrain, or changes the classes.
        """
        opened, self._open = self._open, None
        closed = None if opened is None else opened.close()
        if closed is None or closed.image_id not in self.images:
            return
        hidden = self.unteachable(closed.image_id)
        closed = closed.without(audited(hidden, closed.t, closed.box))
        if closed.n_voxels < FEWEST_VOXELS:
            return
        guard = guard_region(closed, self.guard)
        if guard is not None:
            self.guard = (*self.guard, guard)
            self.documents.touch("guard")
        self._score(closed, self.effort_minutes)

    def _score(self, closed: ClosedRegion, minutes: float) -> None:
        image = self.images[closed.image_id]

        def ended(job: Job) -> None:
            # Another project may have been opened meanwhile, with an image of the same id.
            if job.state is JobState.DONE and self.images.get(closed.image_id) is image:
                self.corrected = (*self.corrected, closed.scored(job.result, minutes))
                self.documents.touch("prequential")
                self.events.numbers_changed.emit()

        request = RegionRequest(closed.before, closed.after, closed.mask, closed.model.output)
        # Matching the objects of a large view takes longer than a window may wait.
        self.runner.submit(score_region, request, lane="train", name="score", on_end=ended)

    # ---- what is measured after a round --------------------------------------------------------

    def guard_images(self, version: ModelVersion) -> tuple[KnownImage, ...]:
        """Return the guard regions with their labels under a model's meaning; none for an untrained model."""
        if version.untrained:
            return ()
        places = [(region.image_id, region.t, region.box) for region in self.guard]
        return tuple(image for place in places if (image := self._measured(version, *place, audits=False)) is not None)

    def measure_audits(self) -> Job | None:
        """Score the current model on the random regions that it has not been scored on. Selects nothing."""
        model = self.model
        if model is None or model.untrained or "audit" in self.jobs:
            return None
        found: dict[str, KnownImage] = {}
        for region in self.audits:
            if self.audit_score(region, model.header.weights_hash) is None:
                image = self._measured(model, region.image_id, region.t, region.box, audits=True)
                if image is not None:
                    found[region.name] = image
        if not found:
            return None
        settings = TrainSettings(device=self.settings.device)

        def done(scores: tuple[float | None, ...]) -> None:
            known = self.audit_scores.setdefault(model.header.weights_hash, {})
            known |= {name: score for name, score in zip(found, scores, strict=True) if score is not None}
            self.documents.touch("audit_scores")
            self.events.numbers_changed.emit()

        request = AuditRequest(model.path, tuple(found.values()), settings)
        return self.start_job("audit", score_audits, request, lane="train", on_done=done)

    def _measure_when_idle(self) -> None:
        def measure() -> None:
            self.measure_audits()

        if self.audits:
            self.when_idle(("train", "model", "audit"), measure)

    def _measured(self, version: ModelVersion, image_id: str, t: int, box: Box, *, audits: bool) -> KnownImage | None:
        """Return an image with what is known in one region alone; None if it is gone or nothing is known there."""
        image = self.images.get(image_id)
        labels = None if image is None else image.labels.get(self.key(version))
        if image is None or labels is None:
            return None
        hidden = () if audits else self.unteachable(image_id)
        crops = tuple(region_crops(labels, version.header.ndim, (t, box), hidden))
        if not crops:
            return None
        statistics = image.statistics.get(statistics_key(version.header))
        return KnownImage(image_id, self.lazy_source(image_id), statistics, crops)

    # ---- am I done? ----------------------------------------------------------------------------

    def verdict(self) -> Verdict:
        """Return how far the work is, by the random regions or else by the regions before correction."""
        points = [(one.minutes, one.score) for one in self.audits if one.score is not None]
        before = [(one.minutes, one.score) for one in self.corrected if not one.accepted]
        return judge(points, before, self.accuracy())

    def add_audit(self, region: AuditRegion) -> None:
        """Take in a random check that the user has done; what was corrected before it is done, too."""
        self.close_region()
        super().add_audit(region)

    def close(self) -> None:
        """Stop all jobs and remove temporary files."""
        self._open = None
        super().close()

    # ---- kept ----------------------------------------------------------------------------------

    def _load_blocks(self, value: dict[str, Any]) -> None:
        self.assignment = Assignment.load(value)

    def _load_guard(self, values: list[dict[str, Any]]) -> None:
        self.guard = tuple(GuardRegion(**_with_box(one)) for one in values)

    def _load_corrected(self, values: list[dict[str, Any]]) -> None:
        self.corrected = tuple(CorrectedRegion(**_with_box(one)) for one in values)
        self.events.numbers_changed.emit()


def _values(region: GuardRegion | CorrectedRegion) -> dict[str, Any]:
    return {**vars(region), "box": [[part.start, part.stop] for part in region.box]}


def _with_box(values: dict[str, Any]) -> dict[str, Any]:
    return {**values, "box": as_box(*zip(*values["box"], strict=True))}
