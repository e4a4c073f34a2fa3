"""What training says while it runs and when it has ended; torch-free, so that the panel can use it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_unet.learning.decision import Decision, decide
from napari_unet.learning.preparation import mean

if TYPE_CHECKING:
    from napari_unet.model.checkpoint import Checkpoint


@dataclass(frozen=True)
class TrainReport:
    """Where a round of training stands.

    Parameters
    ----------
    step : int
        Steps done.
    seconds, seconds_left : float
        Since the start, and until the budget is spent.
    loss : float
        Mean of the last steps; NaN before the first.
    score, parent_score : float or None
        Latest and the parent's mean agreement with the corrections held back; None while there is none.
    best_score : float or None
        Best so far of the candidate.
    progress : float
        0 to 1.
    """

    step: int
    seconds: float
    seconds_left: float
    loss: float
    score: float | None
    parent_score: float | None
    best_score: float | None
    progress: float

    @property
    def amount(self) -> tuple[int, int]:
        """Done and total, in thousandths of the budget."""
        return min(1000, round(1000 * self.progress)), 1000


@dataclass(frozen=True)
class TrainResult:
    """What a round of training gave.

    Parameters
    ----------
    checkpoint : Checkpoint
        The best candidate; its header still is the parent's.
    parent_scores, scores : tuple of float
        A value per block held back, in the same order, whose mean is the agreement with the corrections; empty if
        nothing was held back, or training was stopped before the first score.
    stopped_because : {"budget", "learned", "cancelled"}
        Why it ended.
    steps : int
        Steps done.
    seconds : float
        Time taken.
    """

    checkpoint: Checkpoint
    parent_scores: tuple[float, ...]
    scores: tuple[float, ...]
    stopped_because: str
    steps: int
    seconds: float

    @property
    def parent_score(self) -> float | None:
        """Mean over the blocks, or None."""
        return mean(self.parent_scores)

    @property
    def score(self) -> float | None:
        """Mean over the blocks, or None."""
        return mean(self.scores)

    @property
    def n_blocks(self) -> int:
        """Blocks that both were scored on."""
        return len(self.scores)

    @property
    def decision(self) -> Decision:
        """Adopt the candidate, keep the parent, or leave it to the user."""
        return decide(self.scores, self.parent_scores)
