"""Commands of decision: what becomes of a model that a round has trained."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from napari_unet.errors import UserError
from napari_unet.jobs import Job
from napari_unet.session.models import Modelling
from napari_unet.session.numbers import Numbers
from napari_unet.session.state import ModelVersion, Round
from napari_unet.session.steps import LabelStep, PredictionStep
from napari_unet.session.training_tasks import TrainOutcome, write_provenance

FEW = 8  # discarded rounds whose preview may still come in


class Deciding(Numbers, Modelling):
    """Adopt, offer or keep out; and the user's word on it."""

    preview_shown = True
    last_round: Round | None = None  # that was measured
    newest_round: Round | None = None  # measured or not
    last_corrected: tuple[str, int] | None = None  # image id and time point
    _last_edit: float | None = None  # when it was, on the monotonic clock; None once it was learned from
    _previewing: Round | None = None  # whose preview is being segmented
    _discarded: tuple[Round, ...] = ()

    def need_no_round(self) -> None:
        """Raise a `UserError` while a round waits for a decision; a quick refit that is shown is dropped."""
        super().need_no_round()
        self.drop_refit()

    def drop_refit(self) -> None:
        """Discard a quick refit that is shown: something else comes."""
        if self.round is not None and self.round.quick:
            self.discard()

    def keep(self) -> None:
        """Adopt the candidate of a preliminary round."""
        self.acted()
        waiting = self._need_round()
        self._show_preview(True)
        self._end_round()
        self.adopt(waiting.candidate, "keep")
        self.events.round_changed.emit()

    def discard(self) -> None:
        """Drop the candidate of a preliminary round; its predictions disappear."""
        self.acted()
        waiting = self._need_round()
        self._discarded = (*self._discarded, waiting)[-FEW:]
        if self.preview is not None:
            self._show_preview(False)
            self._forget(self.preview)
        elif self._previewing is waiting:
            self.cancel("segment")
        self._end_round()
        if waiting.quick:
            self._remove(waiting)
        self.events.round_changed.emit()

    def _remove(self, dropped: Round) -> None:
        """Remove the model of a refit, of which there may be many, once no preview reads it."""
        self.versions = [version for version in self.versions if version is not dropped.candidate]
        self.newest_round = None if self.newest_round is dropped else self.newest_round
        folder, path = self.folder, Path(dropped.candidate.path)
        self.when_idle(("segment",), lambda: folder.remove_model(path))

    def use_anyway(self) -> None:
        """Adopt the candidate of the last measured round although the numbers spoke against it; the model says so.

        Raises
        ------
        UserError
            If the last measured round kept no candidate out, or one waits for a decision.
        """
        self.acted()
        self.need_no_round()
        self.need_idle("segment")
        last = self.overrulable()
        if last is None:
            raise UserError("No model was kept out by the last round.", "Click Retrain first.")
        before = last.candidate
        sentence = f"Used anyway, {time.strftime('%Y-%m-%d %H:%M')}. {last.decision.sentence}"
        header = replace(before.header, provenance={**before.header.provenance, "used_anyway": sentence})
        candidate = replace(before, header=header, summary=sentence)
        self.versions = [candidate if version is before else version for version in self.versions]
        self.last_round = replace(last, candidate=candidate)
        self.adopt(candidate, "use anyway")
        request = (candidate.path, header.provenance)
        self.runner.submit(write_provenance, request, lane="train", name="note", on_end=self._tell_failure)
        self._show(candidate)
        self.events.round_changed.emit()

    def _tell_failure(self, job: Job) -> None:
        if job.error is not None:
            self.events.message.emit("error", str(job.error), job.details)

    def overrulable(self) -> Round | None:
        """Return the last measured round if it kept its candidate out and the parent is still current."""
        last = self.last_round
        out = last is not None and last.decision.verdict == "keep" and last.candidate in self.versions
        return last if out and self.undecided is None and last is not None and self.model is last.parent else None

    def _end_round(self) -> None:
        self.round, self.preview = None, None

    def flip(self) -> bool:
        """Show the labels before or after a preliminary round in turn; return whether it is "after" now."""
        self._need_round()
        if self.preview is not None:
            self._show_preview(not self.preview_shown)
        return self.preview_shown

    def _show_preview(self, shown: bool) -> None:
        if self.preview is not None and shown != self.preview_shown:
            # A refit ends by itself: it must not write over what is being painted.
            self.when_not_stroking(self.preview.labels, self.preview.redo if shown else self.preview.undo)
        self.preview_shown = shown

    def _need_round(self) -> Round:
        if self.round is None:
            raise UserError("No training round waits for a decision.", "Click Retrain first.")
        return self.round

    def _decide(self, parent: ModelVersion, outcome: TrainOutcome) -> None:
        candidate = ModelVersion(outcome.path, outcome.header, outcome.decision.sentence)
        finished = Round(parent, candidate, outcome.decision, outcome.steps, quick=not outcome.measured)
        self.newest_round = finished
        if outcome.measured:
            self.last_round = finished
        verdict = outcome.decision.verdict
        if self.model is not parent and verdict != "keep":
            # The user has chosen another model meanwhile: offer the candidate, change nothing.
            self.versions.append(candidate)
            self.events.model_changed.emit()
            sentence = "Trained, but another model was chosen meanwhile; the result is in the list of models."
            self.events.message.emit("info", sentence, "")
        elif parent.untrained or verdict == "adopt":
            self.adopt(candidate, "adopt")
            self.when_idle(("segment", "model"), lambda: self._show(candidate))
        elif verdict == "keep":
            self.versions.append(candidate)
        else:
            self.versions.append(candidate)
            self.round, self.preview, self.preview_shown = finished, None, True
            self._preview(finished)
        self.events.round_changed.emit()
        first = "A first result. Paint what is wrong, then click Retrain."
        self.events.message.emit("info", first if parent.untrained else outcome.decision.sentence, "")

    def _preview(self, waiting: Round) -> None:
        """Segment with the candidate, so that the user sees before and after."""

        def shown(step: LabelStep | None) -> None:
            self._previewing = None
            if self.round is waiting:
                self.preview = step
            elif step is not None and any(other is waiting for other in self._discarded):
                # Discarded while the preview was still coming in.
                step.undo()
                self._forget(step)
            self.events.round_changed.emit()

        def start() -> None:
            if self.round is waiting:
                self._previewing = waiting
                self._show(waiting.candidate, "preview", shown)
            elif self.model is waiting.candidate:  # kept unseen
                self._show(waiting.candidate)

        self.when_idle(("segment", "model"), start)

    def _show(
        self,
        version: ModelVersion,
        title: str = "segment",
        then: Callable[[LabelStep | None], None] = lambda step: None,
    ) -> None:
        """Segment with a version that a round gave, where the user corrected last if it learned from that image."""
        place = self.last_corrected
        taught = (
            place is not None and place[0] in self.images and place[0] in self.taught_by(version.header.weights_hash)
        )
        self.segment_again(version, title, then, place if taught else None)

    def _forget(self, step: LabelStep) -> None:
        """Forget a preview for good; its scores make room first, so that those of the current model stay."""
        if isinstance(step, PredictionStep) and step.after.scores:
            self.folder.remove_scores(Path(step.after.scores))
        self.history.forget(lambda other: other is step)
        self.events.history_changed.emit()
