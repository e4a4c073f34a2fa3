"""The command that makes the model to publish."""

from __future__ import annotations

from dataclasses import dataclass, replace

from napari_unet.errors import TrainingError
from napari_unet.jobs import Job
from napari_unet.session.final import is_final
from napari_unet.session.finalize_tasks import (
    FinalRequest,
    default_steps,
    final_settings,
    finalize,
    known_voxels,
)
from napari_unet.session.kept import KeptState
from napari_unet.session.state import ModelVersion
from napari_unet.session.training import Training
from napari_unet.session.training_tasks import KnownImage


@dataclass(frozen=True)
class FinalPlan:
    """What *Finalize* would do.

    Parameters
    ----------
    start : ModelVersion
        The starting checkpoint.
    images, known : int
        Images with something known, and the voxels known in them.
    steps, threads, seed : int
        Fixed, so that twice gives the same scores.
    """

    start: ModelVersion
    images: int
    known: int
    steps: int
    threads: int
    seed: int

    @property
    def sentence(self) -> str:
        """What it would do, for the panel and the terminal."""
        images = "1 image" if self.images == 1 else f"{self.images} images"
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        return (
            f"From the starting checkpoint '{self.start.header.name}' on everything known ({self.known:,} voxels in "
            f"{images}): {self.steps} steps, seed {self.seed}, {threads} on the CPU."
        )


class Finalizing(Training):
    """Training once more from the start, such that anybody can repeat it."""

    def starting_version(self) -> ModelVersion:
        """Return where the current model comes from: built in, opened from a file, or new and untrained.

        Raises
        ------
        UserError
            If no model is chosen.
        """
        version, seen = self.need_model(), set()
        by_hash = {version.header.weights_hash: version for version in self.versions}
        while not version.untrained and version.header.parent in by_hash and version.path not in seen:
            seen.add(version.path)
            version = by_hash[version.header.parent]
        return version

    def final_plan(self, steps: int | None = None, threads: int = 1) -> FinalPlan:
        """Return what `finalize` would do now.

        Raises
        ------
        TrainingError
            If nothing is known, or steps or threads are below 1.
        UserError
            If no model is chosen.
        """
        start, images = self.starting_version(), self._everything()
        if not images:
            raise TrainingError(
                "Nothing is known yet, so there is nothing to learn from.",
                "Paint what is wrong, or accept what is right.",
            )
        for name, number in (("steps", steps), ("threads", threads)):
            if number is not None and number < 1:
                raise TrainingError(f"The number of {name} is {number}; expected at least 1.", f"Give more {name}.")
        known = known_voxels(images)
        return FinalPlan(start, len(images), known, steps or default_steps(known), threads, self.settings.seed)

    def final_request(self, steps: int | None = None, threads: int = 1, target: str | None = None) -> FinalRequest:
        """Return everything that the final model depends on.

        Parameters
        ----------
        steps : int, optional
            By default from the amount known: 300 for a thousand voxels and fewer, 300 more per factor of ten,
            1500 at most.
        threads : int
            CPU threads; another number may change the last digits.
        target : str, optional
            Where the model goes; into the session's folder by default.
        """
        plan, current = self.final_plan(steps, threads), self.need_model()
        changed = current.header.output != plan.start.header.output and current.header.output.kind == "classes"
        checkpoints = {"start": plan.start.header.weights_hash, "against": current.header.weights_hash}
        return FinalRequest(
            plan.start.path,
            current.header.output.classes if changed else None,
            current.path,
            self._everything(),
            final_settings(plan.steps, plan.seed, plan.threads),
            target or str(self.folder.next_model()),
            KeptState(str(self.folder.path), self.keep_state_every, checkpoints=checkpoints, final=True),
            self.current_assignment(),
            # Like all else without what the session measured, which may stem from a view.
            tuple(replace(image, statistics=None) for image in self.guard_images(current)),
        )

    def finalize(self, steps: int | None = None, threads: int = 1) -> Job | None:
        """Train from the starting checkpoint on everything known, with fixed steps, seed and threads.

        Twice gives the same scores. The result is compared with the current model on the blocks held back; it is
        adopted, offered, or put into the history only, as after any round.

        Parameters
        ----------
        steps, threads
            See `final_request`.

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
        self._get_ready()
        current, request = self.need_model(), self.final_request(steps, threads)
        return self._start_round(current, finalize, request, request.images)

    def final_version(self) -> ModelVersion | None:
        """Return the newest final model of this session, if there is one."""
        return next((version for version in reversed(self.versions) if is_final(version.header)), None)

    def _everything(self) -> tuple[KnownImage, ...]:
        """Return what is known and may teach in all images, in an order that does not depend on when they were opened.

        Intensity statistics are left to be measured anew: the session's may stem from a view.
        """
        images = (replace(image, statistics=None) for image in self._known_images(self.need_model()))
        # Nor what stood on screen beside the corrections: the order of the work is to leave no trace.
        images = (image.without_screen() for image in images)
        return tuple(sorted(images, key=lambda image: image.image_id))
