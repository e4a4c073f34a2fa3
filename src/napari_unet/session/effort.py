"""How long the user has worked."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from napari_unet.jobs import JobRunner
from napari_unet.learning.edits import Step as TruthChange
from napari_unet.project.folder import WorkFolder
from napari_unet.session.correcting import Correcting
from napari_unet.session.state import LabelState

PAUSE = 20.0  # seconds; longer ones are no work


class Effort(Correcting):
    """Counts the user's active minutes: the time between two actions, if no longer than `PAUSE`.

    Attributes
    ----------
    clock : callable
        Returns seconds; a simulated user brings its own.
    """

    clock: Callable[[], float]

    def __init__(self, runner: JobRunner | None = None, folder: WorkFolder | None = None) -> None:
        super().__init__(runner, folder)
        self.clock = time.monotonic
        self._active_seconds = 0.0
        self._last_act: float | None = None
        self.documents.register("effort", self._dump_effort, self._load_effort)

    @property
    def effort_minutes(self) -> float:
        """Active minutes of the user in this piece of work."""
        return self._active_seconds / 60

    def acted(self) -> None:
        """Tell that the user did something. Commands call it, and a window when the user looks around."""
        now, before = self.clock(), self._last_act
        self._last_act = now
        if before is not None and 0 < now - before <= PAUSE:
            self._active_seconds += now - before
            self.documents.touch("effort")

    def begin_stroke(self, image_id: str) -> None:
        """Tell that a tool has touched down (see `Correcting.begin_stroke`)."""
        self.acted()
        super().begin_stroke(image_id)

    def record(self, title: str, image_id: str, labels: LabelState, change: TruthChange | None) -> bool:
        """Put a change that has been made into the history and tell about it."""
        self.acted()
        return super().record(title, image_id, labels, change)

    def undo(self) -> str | None:
        """Take the newest step back and return its title."""
        self.acted()
        return super().undo()

    def redo(self) -> str | None:
        """Do the step that was undone last again and return its title."""
        self.acted()
        return super().redo()

    def _dump_effort(self) -> dict[str, Any]:
        return {"minutes": round(self.effort_minutes, 4)}

    def _load_effort(self, value: dict[str, Any]) -> None:
        self._active_seconds = 60 * float(value["minutes"])
