"""Looking for the regions worth correcting: a job that runs when nothing else does, and what it found."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from napari_unet.image.boxes import Box
from napari_unet.jobs import Job, JobRunner, LazyArray
from napari_unet.learning.places import Suggestion
from napari_unet.model.header import CheckpointHeader
from napari_unet.project.folder import WorkFolder
from napari_unet.session.looking import SuggestImage
from napari_unet.session.models import Modelling
from napari_unet.session.state import ImageState, statistics_key
from napari_unet.session.suggest_tasks import KNOWN_ALREADY, SuggestRequest, SuggestResult, suggest

REST = 0.5  # seconds without a job before the next regions are looked for


class Finding(Modelling):
    """Keeps a queue of regions for the current model; it is empty again once the model changes."""

    def __init__(self, runner: JobRunner | None = None, folder: WorkFolder | None = None) -> None:
        super().__init__(runner, folder)
        self._found: list[Suggestion] = []
        self._found_for = ""  # hash of the model whose doubts they are
        self._drawn = 0  # how many times was looked: part of the seed of what is drawn
        self._served = 0  # regions that the user was led to
        self._visited: list[tuple[str, int, Box]] = []
        self._searched_for: tuple[object, ...] = ()
        self._quiet_since: float | None = None
        self._made_room = False  # the search was cancelled for another job

    def start_job(self, name: str, function: Callable[..., Any], request: Any, **options: Any) -> Job | None:
        """Run a job function (see `Running.start_job`); looking for regions makes room for it."""
        if name in ("segment", "model", "train") and "suggest" in self.jobs:
            self._made_room = True
            self.cancel("suggest")
        return super().start_job(name, function, request, **options)

    def deliver(self, seconds: float = 0.008) -> None:
        """Deliver as `SessionCore.deliver` does; in a window, look for regions once nothing else is to be done."""
        super().deliver(seconds)
        if self.runner.mode != "process":
            return
        if self.busy or self.jobs or self.undecided is not None or any(self._strokes):
            self._quiet_since = None
            return
        now = time.perf_counter()
        self._quiet_since = now if self._quiet_since is None else self._quiet_since
        if now - self._quiet_since > REST and self._is_search_due():
            self._look()

    def _is_search_due(self) -> bool:
        """Whether there is something new to look at, or too little is left of what was found."""
        wanted = self._to_search()
        if not wanted or wanted == self._searched_for:
            return False
        left = {one.kind for one in self._found}
        return wanted[:2] != self._searched_for[:2] or len(left) < 2

    def _to_search(self) -> tuple[object, ...]:
        """Return what a search depends on: model, what it has segmented, regions served; empty if it has nothing."""
        model = self.model
        segmented = tuple((i, s.origin.scores) for i in self.images if (s := self.labels(i)) is not None and s.frames)
        if model is None or model.untrained or not segmented:
            return ()
        return (model.header.weights_hash, segmented, self._served)

    def _take_found(self, kind: str | None) -> Suggestion | None:
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

    def _look(self) -> None:
        model = self.need_model()
        self._searched_for = self._to_search()
        if self._found_for not in ("", model.header.weights_hash):
            self._visited = []  # another model has other doubts, there too
        request = SuggestRequest(
            model.path,
            self._parent_path(model.header),
            tuple(self._lookable(image) for image in self.images.values() if not image.large),
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
            self._looked(True)

        def stopped(job: Job) -> None:
            if job.error is None:  # what failed once is not tried again before something has changed
                self._searched_for = ()
            self._looked(False, stopped=not self._made_room)

        self._made_room = False
        self.start_job("suggest", suggest, request, on_done=done, on_stopped=stopped)

    def _looked(self, found: bool, stopped: bool = False) -> None:
        """Go on after a look; a class below this one answers the waiting user."""

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
            LazyArray(truth.prediction),
            labels.frames,
        )
