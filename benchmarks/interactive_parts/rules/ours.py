"""Ours: the session's own retraining, decision included."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from interactive_parts.painting import VIEW
from interactive_parts.rules.base import Outcome, Rule, predictor_of
from interactive_parts.task import Labels, Predict, Task, score_one
from interactive_parts.work import Work
from napari_unet.image.boxes import Box
from napari_unet.image.source import ImageSource
from napari_unet.learning.decision import Decision
from napari_unet.model.builtin import general_parent
from napari_unet.session.state import ModelVersion

LEAST_SEEN = 0.005  # difference in score that a person sees when they flip between before and after


class Ours(Rule):
    """`Session.retrain` with its decision; a preliminary round is decided by the simulated user.

    They flip between before and after on the image that they worked on last, in the view around their last deed and
    in one more view of it, drawn by chance, and keep the new model if it looks better there by the truth, which is
    what a person sees with their own eyes. Where they see no difference, they go by the numbers. Known voxels show
    the user's values in both.
    """

    name: ClassVar[str] = "ours"
    lives_in_session: ClassVar[bool] = True

    def general(self, task: Task) -> str | None:
        """Return the general parent where the product starts new models from one."""
        return task.general if _begins_with_parent(task) else None

    def begin(self, work: Work) -> None:
        """Let the session do as it does; it has a model already."""
        self.work = work

    def predict(self, source: ImageSource) -> Labels | None:
        """Return the labels of an image by the session's current model."""
        version = self.work.session.need_model()
        return None if version.untrained else self._predictor(version)(source)

    def open_image(self, work: Work, index: int) -> None:
        """Click Segment."""
        if not work.session.need_model().untrained:
            work.session.segment(work.ids[index])
            work.shown.add(index)

    def round(self, work: Work, seconds: float) -> Outcome:
        """Click Retrain, then Keep or Discard where the session asks."""
        session = work.session
        session.retrain(seconds)
        last = session.last_round
        if last is None:
            raise RuntimeError("the session has trained but knows of no round")
        verdict = str(last.decision.verdict)
        if session.round is not None:
            better = self._looks_better(work, last.decision)
            (session.keep if better else session.discard)()
            verdict += "-kept" if better else "-discarded"
        elif last.parent.untrained:
            verdict = "first"
        return Outcome(verdict, self._predictor(last.candidate), last.steps, last.decision.sentence)

    def _looks_better(self, work: Work, decision: Decision) -> bool:
        session = work.session
        views = self._views(work)
        after = self._seen(work, views)
        session.flip()
        before = self._seen(work, views)
        session.flip()
        if abs(after - before) > LEAST_SEEN:
            return after > before
        return decision.candidate is None or decision.parent is None or decision.candidate >= decision.parent

    def _views(self, work: Work) -> tuple[int, list[Box]]:
        index, view = work.last_view(VIEW)
        shape = work.labels(index).shape
        generator = np.random.default_rng((self.seed, len(work.deeds)))
        corner = [
            int(generator.integers(n - (part.stop - part.start) + 1)) for n, part in zip(shape, view, strict=True)
        ]
        z, y, x = (slice(start, start + part.stop - part.start) for start, part in zip(corner, view, strict=True))
        return index, [view, (z, y, x)]

    def _seen(self, work: Work, views: tuple[int, list[Box]]) -> float:
        index, boxes = views
        labels, truth = work.labels(index), self.task.train[index].truth
        found = [score_one(self.task, truth[box], np.asarray(labels[box])) for box in boxes]
        return float(np.mean([(one.score + one.dice) / 2 for one in found]))

    def _predictor(self, version: ModelVersion) -> Predict:
        from napari_unet.model.checkpoint import load_checkpoint

        return predictor_of(load_checkpoint(version.path))


class Scratch(Ours):
    """Ours, from a random start."""

    name: ClassVar[str] = "scratch"

    @classmethod
    def suits(cls, task: Task) -> bool:
        """Only where ours has a general parent: elsewhere it would be the same."""
        return _begins_with_parent(task)

    def general(self, task: Task) -> str | None:
        """Return None: there is no general parent."""
        return None


class FromNuclei(Ours):
    """Ours, from the features of the built-in nuclei model."""

    name: ClassVar[str] = "nuclei-2d"

    @classmethod
    def suits(cls, task: Task) -> bool:
        """Only in 2D, where ours starts from the general parent."""
        return task.parent is None and task.ndim == 2

    def general(self, task: Task) -> str | None:
        """Return the name of the nuclei model."""
        return "nuclei-2d"


def _begins_with_parent(task: Task) -> bool:
    """Whether the product starts a new model for such images from a general parent, and there is one to compare."""
    return task.general is not None and general_parent(task.ndim, task.in_channels) is not None
