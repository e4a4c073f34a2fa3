"""One step of the history of a truth, and how it is taken back and done again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from napari_unet.image.boxes import Box

if TYPE_CHECKING:
    from napari_unet.learning.truth import Truth

Labels = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]
Place = tuple[int, Box]


class Step(Protocol):
    """Anything the history can walk over."""

    def undo(self, truth: Truth) -> tuple[Place, ...]:
        """Take the step back; return the (t, box) places whose labels or known mask may differ now."""

    def redo(self, truth: Truth) -> tuple[Place, ...]:
        """Do the step again; return the (t, box) places whose labels or known mask may differ now."""

    @property
    def nbytes(self) -> int:
        """Memory that the step holds."""


@dataclass(frozen=True, eq=False)
class State:
    """What the user said about one box: labels where known, and which of them the user changed."""

    labels: Labels
    known: Mask
    changed: Mask


@dataclass(frozen=True, eq=False)
class Edit:
    """A change by the user: a stroke, accept, delete, join or split.

    The prediction is not part of it. Taking a stroke back shows *today's* prediction where nothing
    is known, never the one that was there when the stroke was made.

    Parameters
    ----------
    t : int
        Time point.
    box : Box
        Everything that changed lies in it.
    before, after : State
        What was known in the box.
    """

    t: int
    box: Box
    before: State
    after: State

    def undo(self, truth: Truth) -> tuple[Place, ...]:
        """Restore what was known before, over the current prediction."""
        truth.restore(self.t, self.box, self.before)
        return ((self.t, self.box),)

    def redo(self, truth: Truth) -> tuple[Place, ...]:
        """Restore what was known after, over the current prediction."""
        truth.restore(self.t, self.box, self.after)
        return ((self.t, self.box),)

    @property
    def nbytes(self) -> int:
        """Memory that the step holds."""
        arrays = {id(a): a.nbytes for s in (self.before, self.after) for a in (s.labels, s.known, s.changed)}
        return sum(arrays.values())


@dataclass(frozen=True, eq=False)
class PredictionEdit:
    """A write of a model's prediction; it shows only where nothing is known.

    Parameters
    ----------
    t : int
        Time point.
    box : Box
        Where the prediction was written.
    before, after : ndarray
        The prediction in the box.
    """

    t: int
    box: Box
    before: Labels
    after: Labels

    def undo(self, truth: Truth) -> tuple[Place, ...]:
        """Bring the earlier prediction back."""
        truth.set_prediction(self.t, self.box, self.before)
        return ((self.t, self.box),)

    def redo(self, truth: Truth) -> tuple[Place, ...]:
        """Write the prediction again."""
        truth.set_prediction(self.t, self.box, self.after)
        return ((self.t, self.box),)

    @property
    def nbytes(self) -> int:
        """Memory that the step holds."""
        return self.before.nbytes + self.after.nbytes


@dataclass(frozen=True, eq=False)
class Combined:
    """Several steps that the user sees as one, such as the tiles of one segmentation."""

    steps: tuple[Step, ...]

    def undo(self, truth: Truth) -> tuple[Place, ...]:
        """Take the steps back, the last first."""
        return tuple(place for step in reversed(self.steps) for place in step.undo(truth))

    def redo(self, truth: Truth) -> tuple[Place, ...]:
        """Do the steps again in their order."""
        return tuple(place for step in self.steps for place in step.redo(truth))

    @property
    def nbytes(self) -> int:
        """Memory that the step holds."""
        return sum(step.nbytes for step in self.steps)


def combine(steps: Iterable[Step]) -> Combined:
    """Return one step made of several, in the order in which they happened."""
    return Combined(tuple(steps))
