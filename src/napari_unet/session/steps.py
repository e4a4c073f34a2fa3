"""Steps of the history: a change of labels, a change of the model."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from napari_unet.learning.edits import Step as TruthChange
from napari_unet.session.state import LabelState, ModelVersion, Origin

if TYPE_CHECKING:
    from napari_unet.session.core import SessionCore


@dataclass(frozen=True)
class LabelStep:
    """A change of one image's labels in the history."""

    title: str
    session: SessionCore
    image_id: str
    labels: LabelState
    change: TruthChange

    @property
    def nbytes(self) -> int:
        """Memory that the step holds, in bytes."""
        return self.change.nbytes

    def undo(self) -> None:
        """Take the change back."""
        self.session.tell_places(self.image_id, self.labels, self.change.undo(self.labels.truth))

    def redo(self) -> None:
        """Do the change again."""
        self.session.tell_places(self.image_id, self.labels, self.change.redo(self.labels.truth))


@dataclass(frozen=True)
class PredictionStep(LabelStep):
    """A prediction in the history, with what it and the one before came from."""

    before: Origin
    after: Origin

    def undo(self) -> None:
        """Bring the prediction before back."""
        self.labels.origin = self.before
        super().undo()

    def redo(self) -> None:
        """Bring the prediction again."""
        self.labels.origin = self.after
        super().redo()

    def moved(self, old: Path, new: Path) -> PredictionStep:
        """Return the step as it is once the project was moved: its scores lie elsewhere."""
        return replace(self, before=origin_moved(self.before, old, new), after=origin_moved(self.after, old, new))


@dataclass(frozen=True)
class ModelStep:
    """A change of the current model in the history."""

    title: str
    session: SessionCore
    before: ModelVersion | None
    after: ModelVersion | None
    nbytes: int = 0

    def undo(self) -> None:
        """Return to the model before."""
        self.session.set_model(self.before)

    def redo(self) -> None:
        """Take the model after again."""
        self.session.set_model(self.after)


def origin_moved(origin: Origin, old: Path, new: Path) -> Origin:
    """Return what a prediction came from after its project was moved."""
    return replace(origin, scores=moved(origin.scores, old, new))


def moved(path: str, old: Path, new: Path) -> str:
    """Return where a file is after its folder was moved; one that lay elsewhere has stayed."""
    return str(new / Path(path).relative_to(old)) if Path(path).is_relative_to(old) else path
