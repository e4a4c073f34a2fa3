"""Commands of Next: where to look now, and what to do with the region there."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_unet.errors import UserError
from napari_unet.image.boxes import as_box
from napari_unet.jobs import Job, JobRunner
from napari_unet.learning.places import Suggestion
from napari_unet.project.folder import WorkFolder
from napari_unet.session.checking import Checking
from napari_unet.session.exporting import Exporting
from napari_unet.session.finding import Finding

EVERY = 5  # of so many regions one is drawn at random
VISITED = 64  # regions remembered as seen


class Suggesting(Checking, Finding, Exporting):
    """Leads the user to the region worth correcting most; one in five is a random check."""

    def __init__(self, runner: JobRunner | None = None, folder: WorkFolder | None = None) -> None:
        super().__init__(runner, folder)
        self._asked = False  # the user waits for a region
        self.documents.register("next", self._dump_next, self._load_next)
        self.events.known_changed.connect(self._on_known)

    @property
    def asked_next(self) -> bool:
        """Whether the user waits for a region that is being looked for."""
        return self._asked

    # ---- commands ------------------------------------------------------------------------------

    def next_region(self) -> Suggestion | None:
        """Lead the user to the region worth correcting most; a check in which something was labelled is done.

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
        self.acted()
        if self.check is not None:
            self.leave_check()
        found = self._take_found(self._due())
        if found is not None:
            return self._go_to(found)
        before = self.suggestion
        self._asked = True
        self.when_idle(("segment", "model", "suggest"), self._look_if_asked)
        return self.suggestion if self.suggestion is not before else None

    def done_region(self, *, confirmed: bool = False) -> None:
        """Take the region that the user was led to as right: it becomes known.

        A random check counts as done; another region is accepted.

        Parameters
        ----------
        confirmed : bool
            See `Correcting.accept_box`.

        Raises
        ------
        UserError
            If the user was led nowhere.
        ConfirmationNeeded
            If more objects would be accepted by one click than anybody looks at.
        """
        here = self._need_suggestion()
        if self.check is not None:
            self.done_check()
            return
        self.accept_region(here.image_id, here.t, here.box, confirmed=confirmed)

    def skip_region(self) -> None:
        """Leave the region; a hidden prediction is shown again.

        Raises
        ------
        UserError
            If the user was led nowhere.
        """
        self._need_suggestion()
        self.acted()
        if self.check is not None:
            self.skip_check()
        else:
            self._leave_region()

    # ---- what waits ----------------------------------------------------------------------------

    def _due(self) -> str:
        """Return the kind of the next region: one of five is random, at a place fixed by the seed."""
        block, place = divmod(self._served, EVERY)
        drawn = np.random.default_rng((self.settings.seed, block, 4)).integers(EVERY)
        return "random" if place == drawn else "uncertain"

    def _go_to(self, suggestion: Suggestion) -> Suggestion:
        self._asked = False
        self.ensure_labels(suggestion.image_id)  # to paint in
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

    def _on_known(self, image_id: str) -> None:
        """Leave an uncertain region once all of it is known, in whatever way."""
        here = self.suggestion
        if here is None or self.check is not None or here.image_id != image_id or image_id not in self.images:
            return
        labels = self.labels(image_id)
        if labels is not None and labels.truth.known[here.t][here.box].all():
            self._leave_region()

    def _leave_region(self) -> None:
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

    # ---- waiting -------------------------------------------------------------------------------

    def _look_if_asked(self) -> None:
        if self._asked and "suggest" not in self.jobs:
            self._look()

    def _looked(self, found: bool, stopped: bool = False) -> None:
        """Lead the waiting user to what was found; look again where the search only made room for another job."""
        if not self._asked:
            return
        if stopped:
            self._asked = False
            self.events.suggestion_changed.emit()
            return
        if not found or (self.model is not None and self._found_for != self.model.header.weights_hash):
            self.when_idle(("segment", "model", "suggest"), self._look_if_asked)
            return
        suggestion = self._take_found(self._due()) or self._take_found(None)
        if suggestion is not None:
            self._go_to(suggestion)
            return
        self._asked = False
        self._leave_region()
        self.events.message.emit("info", "There is no region left to look at: everything is known.", "")

    # ---- kept ----------------------------------------------------------------------------------

    def _dump_next(self) -> dict[str, Any]:
        visited = [[i, t, [[part.start, part.stop] for part in box]] for i, t, box in self._visited]
        return {"drawn": self._drawn, "served": self._served, "visited": visited}

    def _load_next(self, value: dict[str, Any]) -> None:
        self._found, self._found_for, self._asked = [], "", False
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
