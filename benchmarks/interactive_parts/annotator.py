"""The simulated annotator: from the truth and what is on screen, what a person does in a number of seconds."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from interactive_parts.costs import Costs
from interactive_parts.objects import Objects
from interactive_parts.painting import Painting
from interactive_parts.task import Task
from interactive_parts.work import Work

STAY = (25.0, 60.0)  # seconds a person stays with one image before the next, drawn evenly


class Annotator:
    """A person with a clock, who knows the truth and sees only what the session shows.

    In a model of classes they paint: first one stroke per class, then, where a prediction is on screen, into the
    places that are wrong, large ones rather than small ones. Where the view is right they accept it. In a model of
    objects they delete, join, split, draw and accept objects (`Objects`). They go through the training images in a
    random order, again and again.

    Parameters
    ----------
    task : Task
        With the truth of the training images.
    seed : int
        The same seed and the same screen give the same deeds.
    costs : Costs
        Seconds of each action.
    """

    def __init__(self, task: Task, seed: int, costs: Costs | None = None) -> None:
        self.task = task
        self.costs = costs or Costs()
        self.generator = np.random.default_rng((20211, seed))
        self.clock = 0.0
        self.index: int | None = None
        self._order: list[int] = []
        self._leave = 0.0
        self._hand = (Objects if task.kind == "instances" else Painting)(task, self.generator, self.costs)

    def work_until(self, seconds: float, work: Work, opened: Callable[[int], None] = lambda index: None) -> None:
        """Go on until the clock stands at `seconds`.

        Parameters
        ----------
        seconds : float
            Annotated seconds since the beginning. An action that would end later is not begun.
        work : Work
            Whose session is worked in.
        opened : callable
            Told the index of each image that comes on screen, before it is looked at.
        """
        if self.index is not None:
            opened(self.index)  # a new model may have come meanwhile
            self._hand.look_again()
        while self.clock < seconds:
            if self.index is None or (self.clock >= self._leave and len(self.task.train) > 1):
                self._next_image(opened)
                continue
            done = self._hand.act(work, self.index, self.clock, seconds)
            if done is None:  # nothing left to do here
                if len(self.task.train) == 1:
                    self.clock = seconds
                self._leave = self.clock
            elif done > seconds:
                self.clock = seconds
            else:
                self.clock = done

    def _next_image(self, opened: Callable[[int], None]) -> None:
        if not self._order:
            self._order = [int(i) for i in self.generator.permutation(len(self.task.train))]
        if self.index is not None:
            self.clock += self.costs.image
        self.index = self._order.pop(0)
        self._leave = self.clock + float(self.generator.uniform(*STAY))
        opened(self.index)
        self._hand.look_again()
