"""Which weights of a round are kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from napari_unet.learning.learner import Learner, halfway
from napari_unet.learning.preparation import mean
from napari_unet.learning.scoring import Scoring

if TYPE_CHECKING:
    import torch

PREFIX = "best."  # of the kept weights in a training state
HALFWAY_COST = 0.02  # agreement that the mean with the parent's weights may cost
HALFWAY_TRUST = 0.1  # in the parent; one that knows nothing of what is asked has nothing to keep


class Choice:
    """The best of a round's looks, or the mean of it and the parent.

    Parameters
    ----------
    learner : Learner
        As it starts.
    scoring : Scoring
        The blocks held back, maybe none.
    """

    def __init__(self, learner: Learner, scoring: Scoring) -> None:
        self._learner, self._scoring = learner, scoring
        self._start = learner.weights()
        self.weights: Mapping[str, torch.Tensor] | None = None  # the latest ones, if nothing was scored
        self.scores: tuple[float, ...] = ()
        self.latest: float | None = None

    def begin(self) -> None:
        """Take the weights of now as those to go back to."""
        self._start = self._learner.weights()

    @property
    def safe(self) -> Mapping[str, torch.Tensor]:
        """Weights to go back to: the best, or those of the start."""
        return self.weights or self._start

    def look(self, should_stop: Callable[[], bool]) -> None:
        """Score the learner's average, and keep it if it agrees best so far; of equals the later has learned more."""
        scores = self._scoring.score(self._learner, should_stop)
        self.latest, best = mean(scores), mean(self.scores)
        if self.latest is not None and (best is None or self.latest >= best):
            self.scores, self.weights = scores, self._learner.weights()

    def go_halfway(self, trust: float, should_stop: Callable[[], bool]) -> None:
        """Keep the mean of the parent's weights and the new ones where it agrees as well with the corrections.

        It keeps more of what the parent knew, and less of what a round makes up beyond the corrections [1]_.

        Parameters
        ----------
        trust : float
            How far the parent agrees with what is known, 0 to 1.
        should_stop : callable
            Asked before each block.

        References
        ----------
        .. [1] M. Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022.
        """
        if self._learner.new or trust < HALFWAY_TRUST:
            return
        now = self.weights or self._learner.weights()
        middle = halfway(self._start, now)
        if not self._scoring.blocks:
            self.weights = middle
            return
        self._learner.take(middle)
        scores = self._scoring.score(self._learner, should_stop)
        there, here = mean(self.scores), mean(scores)
        if there is not None and here is not None and here >= there - HALFWAY_COST:
            self.scores, self.weights, self.latest = scores, middle, here
        else:
            self._learner.take(now)

    def state(self) -> tuple[dict[str, torch.Tensor], list[float]]:
        """Return what `load_state` needs to go on: the weights by name, and their scores."""
        return {PREFIX + name: value for name, value in (self.weights or {}).items()}, list(self.scores)

    def load_state(self, tensors: Mapping[str, torch.Tensor], scores: Sequence[float]) -> None:
        """Go on from a `state`; other tensors are left alone."""
        best = {name.removeprefix(PREFIX): value for name, value in tensors.items() if name.startswith(PREFIX)}
        self.weights, self.scores = best or None, tuple(scores)
        self.latest = mean(self.scores)
