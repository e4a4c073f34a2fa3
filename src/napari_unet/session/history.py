"""The one undo: strokes, accepts, deletions, predictions and adoptions, in the order they happened."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

LIMIT_STEPS = 200
LIMIT_BYTES = 2**30


class Step(Protocol):
    """One thing that can be undone."""

    @property
    def title(self) -> str:
        """What the user did, for tooltips, such as "paint" or "segment"."""

    @property
    def nbytes(self) -> int:
        """Memory that the step holds, in bytes."""

    def undo(self) -> None:
        """Take the step back."""

    def redo(self) -> None:
        """Do it again."""


@dataclass
class History:
    """Steps done and steps undone.

    The oldest steps are forgotten beyond `LIMIT_STEPS` or `LIMIT_BYTES`; the newest one never is.
    """

    def __post_init__(self) -> None:
        self._done: list[Step] = []
        self._undone: list[Step] = []

    def add(self, step: Step) -> None:
        """Record a step that has just been done; whatever was undone before is forgotten."""
        self._undone.clear()
        self._done.append(step)
        while len(self._done) > 1 and (
            len(self._done) > LIMIT_STEPS or sum(s.nbytes for s in self._done) > LIMIT_BYTES
        ):
            del self._done[0]

    def undo(self) -> Step | None:
        """Take the newest step back and return it; None if there is none."""
        if not self._done:
            return None
        step = self._done.pop()
        step.undo()
        self._undone.append(step)
        return step

    def redo(self) -> Step | None:
        """Do the step that was undone last again and return it; None if there is none."""
        if not self._undone:
            return None
        step = self._undone.pop()
        step.redo()
        self._done.append(step)
        return step

    def forget(self, is_gone: Callable[[Step], bool]) -> None:
        """Forget the steps for which `is_gone` is true, wherever they stand."""
        self._done = [step for step in self._done if not is_gone(step)]
        self._undone = [step for step in self._undone if not is_gone(step)]

    def change(self, changed: Callable[[Step], Step]) -> None:
        """Put another step in the place of each, such as one that knows where files are now."""
        self._done = [changed(step) for step in self._done]
        self._undone = [changed(step) for step in self._undone]

    @property
    def newest(self) -> Step | None:
        """The step that undo would take back."""
        return self._done[-1] if self._done else None

    @property
    def newest_undone(self) -> Step | None:
        """The step that redo would do again."""
        return self._undone[-1] if self._undone else None

    @property
    def next_undo(self) -> str | None:
        """Title of the step that undo would take back."""
        return self._done[-1].title if self._done else None

    @property
    def next_redo(self) -> str | None:
        """Title of the step that redo would do again."""
        return self._undone[-1].title if self._undone else None

    def clear(self) -> None:
        """Forget everything."""
        self._done.clear()
        self._undone.clear()
