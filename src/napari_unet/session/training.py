"""Commands of training: a round, its decision, and what follows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from napari_unet.errors import TrainingError
from napari_unet.image.source import ImageSource
from napari_unet.jobs import Job, JobContext, JobState
from napari_unet.learning.assignment import Assignment
from napari_unet.learning.quick import quick_settings
from napari_unet.learning.reports import TrainReport
from napari_unet.learning.settings import TrainSettings
from napari_unet.session.crops import known_crops
from napari_unet.session.deciding import Deciding
from napari_unet.session.kept import SAVE_EVERY, KeptState
from napari_unet.session.state import Curve, ModelVersion, statistics_key
from napari_unet.session.training_tasks import KnownImage, TrainOutcome, TrainRequest, train

TRAIN_PATIENCE = 60.0  # seconds: a step of a large 3D network, and saving the best so far


class Training(Deciding):
    """What the user's corrections do to the model."""

    keep_state_every = SAVE_EVERY  # seconds

    def retrain(self, seconds: float | None = 60.0, steps: int | None = None, *, quick: bool = False) -> Job | None:
        """Train a copy of the current model on everything known, in all images of the session.

        Parameters
        ----------
        seconds : float, optional
            Time budget.
        steps : int, optional
            Number of optimization steps instead; the same steps give the same model.
        quick : bool
            Learn fast rather than well: for a first look within seconds. What it gives is not measured.

        Returns
        -------
        Job or None
            None if it has ended already (inline jobs).

        Raises
        ------
        TrainingError
            If nothing is known.
        UserError
            If a round runs or waits for a decision.
        """
        self._get_ready(quick)
        version = self.need_model()
        images = tuple(self._known_images(version))
        if not images:
            raise TrainingError(
                "Nothing is known yet, so there is nothing to learn from.",
                "Paint what is wrong, or accept what is right.",
            )
        settings = TrainSettings(
            seconds=None if steps else seconds, steps=steps, seed=self.settings.seed, device=self.settings.device
        )
        if quick:
            settings = quick_settings(settings)
        request = TrainRequest(
            version.path,
            images,
            settings,
            str(self.folder.next_model()),
            None if quick else self.kept_state(version),  # what is kept may be of a round that was interrupted
            self.current_assignment(),
            () if quick else self.guard_images(version),
            measured=not quick,
        )
        return self._start_round(version, train, request, images)

    def _get_ready(self, quick: bool = False) -> None:
        """Refuse a round that cannot start now, and end what it would disturb."""
        self.acted()
        for name in ("train", "model"):
            self.need_idle(name)
        if quick:  # the last refit stays on screen until the next one stands
            self.need_decided()
        else:
            self.need_no_round()
            self.close_region()

    def _start_round(
        self,
        version: ModelVersion,
        function: Callable[[JobContext, Any], TrainOutcome],
        request: Any,
        images: Sequence[KnownImage],
    ) -> Job | None:
        """Run a training task and decide about what it gives, against `version`."""
        self.curve = Curve()

        def reported(report: object) -> None:
            if isinstance(report, Assignment):
                self.take_assignment(report)
            elif isinstance(report, TrainReport):
                self.curve.seconds.append(report.seconds)
                self.curve.loss.append(report.loss)
                self.curve.score.append(float("nan") if report.score is None else report.score)
                self.events.job_changed.emit("train")

        def done(outcome: TrainOutcome) -> None:
            taught = frozenset(image.image_id for image in images) | self.taught_by(version.header.weights_hash)
            self._taught[outcome.header.weights_hash] = taught
            self.drop_refit()
            self._decide(version, outcome)

        def stopped(job: Job) -> None:
            if job.cancelled_at is not None and request.kept is not None:
                request.kept.remove()
            if job.state is JobState.CANCELLED:
                self.events.message.emit(
                    "info", "Stopped before there was anything to keep; the model is as it was.", ""
                )

        return self.start_job(
            "train",
            function,
            request,
            lane="train",
            patience=TRAIN_PATIENCE,
            on_report=reported,
            on_done=done,
            on_stopped=stopped,
        )

    def kept_state(self, version: ModelVersion) -> KeptState:
        """Return where a round that starts from a version keeps its state, so that it can go on after a crash."""
        checkpoints = {"start": version.header.weights_hash}
        return KeptState(str(self.folder.path), self.keep_state_every, checkpoints=checkpoints)

    def _known_images(self, version: ModelVersion) -> Iterator[KnownImage]:
        """Yield snapshots of what is known in every image under this model's meaning of labels."""
        for image_id, image in self.images.items():
            labels = image.labels.get(self.key(version))
            if labels is None or labels.truth.n_known == 0:
                continue
            source: ImageSource = self.lazy_source(image_id)
            crops = tuple(known_crops(labels, version.header.ndim, self.unteachable(image_id)))
            if crops:
                yield KnownImage(image_id, source, image.statistics.get(statistics_key(version.header)), crops)

    def _relabel(self, model: ModelVersion, changed: ModelVersion, kept: tuple[int | None, ...]) -> None:
        self.close_region()  # it speaks of the old classes
        super()._relabel(model, changed, kept)
