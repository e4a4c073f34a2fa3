"""Commands of Next: where to look now, and what to do with the region there."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from napari_unet.errors import UserError
from napari_unet.image.boxes import Box, as_box
from napari_unet.jobs import Job, JobRunner, LazyArray
from napari_unet.learning.places import Suggestion
from napari_unet.model.header import CheckpointHeader
from napari_unet.project.folder import WorkFolder
from napari_unet.session.checking import Checking
from napari_unet.session.exporting import Exporting
from napari_unet.session.looking import SuggestImage
from napari_unet.session.models import Modelling
from napari_unet.session.state import ImageState, statistics_key
from napari_unet.session.suggest_tasks import KNOWN_ALREADY, SuggestRequest, SuggestResult, suggest

EVERY = 5  # of so many regions one is drawn at random
VISITED = 64  # regions remembered as seen
REST = 0.5  # seconds without a job before the next regions are looked for


class Suggesting(Checking, Modelling, Exporting):
    """Leads the user to the region worth correcting most; one in five is a random check."""

    def __init__(self, runner: JobRunner | None = None, folder: WorkFolder | None = None) -> None:
        super().__init__(runner, folder)
        self._found: list[Suggestion] = []
        self._found_for = ""  # hash of the model whose doubts they are
        self._asked = False  # the user waits for a region
        self._drawn, self._served = 0, 0
        self._visited: list[tuple[str, int, Box]] = []
        self._looked_at: tuple[object, ...] = ()
        self._quiet_since: float | None = None
        self.documents.register("next", self._dump_next, self._load_next)

    # ---- commands ------------------------------------------------------------------------------

    def next_region(self) -> Suggestion | None:
        """Lead the user to the region worth correcting most; what was open before is done.

        Returns
        -------
        Suggestion or None
            None if it still has to be looked for; ``events.suggestion_ready`` tells when it is there.

        Raises
        ------
        UserError
            If there is no image or no trained model, or a training round waits for a decision.
        """
        self.need_no_round()
        self._need_lookable()
        if self.check is not None:
            self.done_check()
        found = self._take(self._due())
        if found is not None:
            return self._go_to(found)
        before = self.suggestion
        self._asked = True
        self.when_idle(("segment", "model", "suggest"), self._look_if_asked)
        return self.suggestion if self.suggestion is not before else None

    def done_region(self) -> None:
        """Take the region that the user was led to as right: it becomes known.

        A random check counts as done; another region is accepted.

        Raises
        ------
        UserError
            If the user was led nowhere.
        """
        here = self._need_suggestion()
        if self.check is not None:
            self.done_check()
            return
        self.accept_box(here.image_id, here.t, here.box, "accept region")
        self._leave()

    def skip_region(self) -> None:
        """Leave the region; a hidden prediction is shown again.

        Raises
        ------
        UserError
            If the user was led nowhere.
        """
        self._need_suggestion()
        if self.check is not None:
            self.skip_check()
        else:
            self._leave()

    # ---- what waits ----------------------------------------------------------------------------

    def _due(self) -> str:
        """Return the kind of the next region: one of five is random, at a place fixed by the seed."""
        block, place = divmod(self._served, EVERY)
        return (
            "random" if place == np.random.default_rng((self.settings.seed, block, 4)).integers(EVERY) else "uncertain"
        )

    def _take(self, kind: str | None) -> Suggestion | None:
        """Take the first region of a kind that is still worth a visit; of any kind for None."""
        if self.model is None or self._found_for != self.model.header.weights_hash:
            self._found = []
        for suggestion in [one for one in self._found if kind in (one.kind, None)]:
            self._found.remove(suggestion)
            if self._is_worth(suggestion):
                return suggestion
        return None

    def _is_worth(self, suggestion: Suggestion) -> bool:
        if suggestion.image_id not in self.images:
            return False
        labels = self.labels(suggestion.image_id)
        if labels is None:
            return True
        known = float(labels.truth.known[suggestion.t][suggestion.box].mean())
        return known == 0 if suggestion.kind == "random" else known <= KNOWN_ALREADY

    def _go_to(self, suggestion: Suggestion) -> Suggestion:
        self._asked = False
        if suggestion.kind == "random":
            self.open_check(suggestion)
        else:
            self.suggestion = suggestion
            self.events.suggestion_changed.emit()
        self._served += 1
        self._visited = [*self._visited, (suggestion.image_id, suggestion.t, suggestion.box)][-VISITED:]
        self.documents.touch("next")
        self.events.suggestion_ready.emit(suggestion)
        return suggestion

    def _leave(self) -> None:
        self.suggestion = None
        self.events.suggestion_changed.emit()

    def _need_suggestion(self) -> Suggestion:
        if self.suggestion is None:
            raise UserError("There is no region to leave.", "Click Next to be led to one.")
        return self.suggestion

    def _need_lookable(self) -> None:
        model = self.need_model()
        if model.untrained:
            raise UserError(
                f"The model '{model.header.name}' has not been trained yet.",
                "Paint a stroke in each class, then click Retrain.",
            )
        if not self.images:
            raise UserError("There is no image.", "Open one, or drop a file onto the window.")

    # ---- looking -------------------------------------------------------------------------------

    def start_job(self, name: str, function: Callable[..., Any], request: Any, **options: Any) -> Job | None:
        """Run a job function (see `Running.start_job`); looking for regions makes room for it."""
        if name in ("segment", "model", "train"):
            self.cancel("suggest")
        return super().start_job(name, function, request, **options)

    def deliver(self, seconds: float = 0.008) -> None:
        """Deliver as `SessionCore.deliver` does; in a window, look for regions once nothing else is to be done."""
        super().deliver(seconds)
        if self.runner.mode != "process":
            return
        if self.busy or self.jobs or self.round is not None or any(self._strokes):
            self._quiet_since = None
            return
        now = time.perf_counter()
        self._quiet_since = now if self._quiet_since is None else self._quiet_since
        if now - self._quiet_since > REST and self._looked_at != self._to_look_at():
            self._look()

    def _to_look_at(self) -> tuple[object, ...]:
        """Return what the found regions depend on; what they were found for already if there is nothing to look at."""
        model = self.model
        segmented = tuple((i, s.origin.scores) for i in self.images if (s := self.labels(i)) is not None and s.frames)
        if model is None or model.untrained or not segmented:
            return self._looked_at
        return (model.header.weights_hash, segmented)

    def _look_if_asked(self) -> None:
        if self._asked and "suggest" not in self.jobs:
            self._look()

    def _look(self) -> None:
        model = self.need_model()
        self._looked_at = self._to_look_at()
        request = SuggestRequest(
            model.path,
            self._parent_path(model.header),
            tuple(self._lookable(image) for image in self.images.values()),
            self.settings.seed,
            self._drawn,
            tuple(self._visited),
            device=self.settings.device,
            precision=self.settings.precision,
        )

        def done(result: SuggestResult) -> None:
            for image_id, statistics in result.statistics.items():
                if image_id in self.images:
                    self.images[image_id].statistics.setdefault(statistics_key(model.header), statistics)
            self._drawn += 1
            self.documents.touch("next")
            self._found, self._found_for = list(result.suggestions), model.header.weights_hash
            if self._asked:
                self._answer()

        def stopped(job: Job) -> None:
            self._looked_at = ()
            if self._asked and job.error is None:
                self.when_idle(("segment", "model", "suggest"), self._look_if_asked)
            self._asked = self._asked and job.error is None

        self.start_job("suggest", suggest, request, on_done=done, on_stopped=stopped)

    def _answer(self) -> None:
        """Lead the waiting user to what was found."""
        if self.model is not None and self._found_for != self.model.header.weights_hash:
            self.when_idle(("segment", "model", "suggest"), self._look_if_asked)
            return
        found = self._take(self._due()) or self._take(None)
        if found is not None:
            self._go_to(found)
            return
        self._asked = False
        self._leave()
        self.events.message.emit("info", "There is no region left to look at: everything is known.", "")

    def _parent_path(self, header: CheckpointHeader) -> str | None:
        """Return the parent version, if the two can be compared channel by channel."""
        parent = self.parent_version()
        if parent is None or parent.untrained:
            return None
        other = parent.header
        alike = (other.ndim, other.in_channels, other.normalization, other.output.channels) == (
            header.ndim,
            header.in_channels,
            header.normalization,
            header.output.channels,
        )
        return parent.path if alike else None

    def _lookable(self, image: ImageState) -> SuggestImage:
        source = self.lazy_source(image.image_id)
        header = self.need_model().header
        statistics = image.statistics.get(statistics_key(header))
        labels = self.labels(image.image_id)
        if labels is None:
            return SuggestImage(image.image_id, source, statistics)
        truth = labels.truth
        boxes = ((t, truth.known_box(t)) for t in range(source.n_times))
        classes = header.output.kind == "classes"
        return SuggestImage(
            image.image_id,
            source,
            statistics,
            LazyArray(truth.known),
            tuple((t, box) for t, box in boxes if box is not None),
            "" if classes else labels.origin.scores,
            LazyArray(truth.prediction) if classes else None,
            labels.frames,
        )

    # ---- kept ----------------------------------------------------------------------------------

    def _dump_next(self) -> dict[str, Any]:
        visited = [[i, t, [[part.start, part.stop] for part in box]] for i, t, box in self._visited]
        return {"drawn": self._drawn, "served": self._served, "visited": visited}

    def _load_next(self, value: dict[str, Any]) -> None:
        self._drawn, self._served = int(value["drawn"]), int(value["served"])
        self._visited = [(i, int(t), as_box(*zip(*box, strict=True))) for i, t, box in value["visited"]]

    # ---- meanwhile -----------------------------------------------------------------------------

    def export_labels(self, image_id: str, *args: Any, **options: Any) -> Job | None:
        """Write the labels as `Exporting.export_labels` does; never with a hole where a check hides the prediction."""
        self.need_no_check(image_id)
        return super().export_labels(image_id, *args, **options)

    def export_table(self, image_id: str, *args: Any, **options: Any) -> Job | None:
        """Measure objects as `Exporting.export_table` does; never while a check hides some."""
        self.need_no_check(image_id)
        return super().export_table(image_id, *args, **options)
