"""Commands around a round that a crash interrupted: tell of it, go on, drop it."""

from __future__ import annotations

from dataclasses import replace

from napari_unet.errors import TrainingError, UserError
from napari_unet.jobs import Job
from napari_unet.session.finalize_tasks import finalize
from napari_unet.session.finalizing import Finalizing
from napari_unet.session.kept import Interrupted, KeptState
from napari_unet.session.state import ModelVersion
from napari_unet.session.training_tasks import KnownCrop, KnownImage, TrainRequest, train


class Resuming(Finalizing):
    """What becomes of a round that was killed."""

    def interrupted_round(self) -> Interrupted | None:
        """Return the round that was killed in this session's folder; None if there is none, or one runs.

        Raises
        ------
        TrainingError
            If what was kept of it is damaged; it is dropped then.
        """
        # A folder is made when the first model is: until then nothing can have been interrupted.
        if self._folder is None or "train" in self.jobs:
            return None
        kept = self._kept_here()
        try:
            return kept.read()
        except TrainingError:
            kept.remove()
            raise

    def resume_training(self) -> Job | None:
        """Go on with the interrupted round: same start, same labels as then, same settings, what is left of its budget.

        Returns
        -------
        Job or None
            None if it has ended already (inline jobs).

        Raises
        ------
        TrainingError
            If there is none, or its start or an image is gone; it is dropped then.
        UserError
            If a round runs or waits for a decision.
        """
        for name in ("train", "model"):
            self.need_idle(name)
        self.need_no_round()
        interrupted = self.interrupted_round()
        if interrupted is None:
            raise TrainingError("No round of training was interrupted.", "Click Retrain to start one.")
        kept = self._kept_here(interrupted)
        try:
            start = self._version_of(interrupted.checkpoints.get("start", ""))
            images = self._images_of(interrupted, kept)
            if not interrupted.final:
                target = str(self.folder.next_model())
                request = TrainRequest(
                    start.path,
                    images,
                    interrupted.settings,
                    target,
                    kept,
                    self.current_assignment(),
                    self.guard_images(start),
                )
                return self._start_round(start, train, request, images)
            against = self._version_of(interrupted.checkpoints.get("against", ""))
            base = self.final_request(interrupted.settings.steps)
            output = against.header.output
            changed = output != start.header.output and output.kind == "classes"
            final = replace(
                base,
                start=start.path,
                classes=output.classes if changed else None,
                against=against.path,
                images=tuple(replace(image, statistics=None) for image in images),
                settings=interrupted.settings,
                kept=kept,
            )
            return self._start_round(against, finalize, final, images)
        except UserError:
            kept.remove()
            raise

    def drop_interrupted(self) -> None:
        """Forget the interrupted round."""
        self._kept_here().remove()
        self.events.round_changed.emit()

    def _kept_here(self, interrupted: Interrupted | None = None) -> KeptState:
        folder = str(self.folder.path)
        if interrupted is None:
            return KeptState(folder, self.keep_state_every)
        return KeptState(folder, self.keep_state_every, True, interrupted.checkpoints, interrupted.final)

    def _version_of(self, weights_hash: str) -> ModelVersion:
        found = next((v for v in reversed(self.versions) if v.header.weights_hash == weights_hash), None)
        if found is None:
            raise TrainingError(
                "The interrupted round started from a model that is not here any more; it was dropped.",
                "Click Retrain to start a new one.",
            )
        return found

    def _images_of(self, interrupted: Interrupted, kept: KeptState) -> tuple[KnownImage, ...]:
        """Return the images as they were known when the round started."""
        images = []
        stored = kept.read_crops(interrupted)
        for (image_id, shape, _), crops in zip(interrupted.images, stored, strict=True):
            image = self.images.get(image_id)
            if image is None or tuple(image.source.shape) != shape:
                raise TrainingError(
                    f"The interrupted round learned from the image {image_id!r}, which is not here as it was; "
                    "it was dropped.",
                    "Click Retrain to start a new one.",
                )
            known = tuple(KnownCrop(t, box, **arrays) for t, box, arrays in crops)
            images.append(KnownImage(image_id, self.lazy_source(image_id), None, known))
        return tuple(images)
