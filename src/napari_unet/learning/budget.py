"""How far a round of training has come, and when it ends; torch-free."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

from napari_unet.learning.settings import TrainSettings

WARM_UP_STEPS = 5
LAST_RATE = 0.05
SCORE_EVERY = 6.0  # seconds, or five times as long as it takes
LEAST_SHARE = 1 / 3  # of a budget in seconds that goes into steps, however long scoring takes
LOSSES = 20  # steps over which the loss is averaged
LEARNED = {2: 0.1, 3: 0.3}  # loss below which a round of seconds has no more to learn; what it would add is overfit
LEAST_STEPS = {2: 100, 3: LOSSES}  # of such a round: outlines come last


class Budget:
    """The clock of a round: by steps where the settings give their number, else by seconds.

    Parameters
    ----------
    settings : TrainSettings
        With the budget.

    Attributes
    ----------
    elapsed : float
        Seconds of the round until the last `tick`, those before a restart of the program included.
    ready : float
        Seconds until the first step.
    """

    def __init__(self, settings: TrainSettings) -> None:
        self._settings = settings
        self.elapsed = self.ready = 0.0
        self._begin = 0.0

    def start(self) -> None:
        """Let the clock run, on from `elapsed`."""
        self._begin = time.perf_counter() - self.elapsed

    def tick(self) -> float:
        """Read the clock; return the seconds since the last reading."""
        last, self.elapsed = self.elapsed, time.perf_counter() - self._begin
        return self.elapsed - last

    def progress(self, steps: int, reserve: float = 0.0) -> float:
        """Return how much is spent after `steps`, 1 at the end; `reserve` seconds are kept for the last scores."""
        if self._settings.steps is not None:
            return steps / self._settings.steps
        return self.elapsed / seconds_of(self._settings, self.ready, reserve)

    def seconds_left(self, steps: int) -> float:
        """Return the seconds left, NaN before the first step of a round by steps."""
        if self._settings.seconds is not None:
            return max(0.0, seconds_of(self._settings, self.ready) - self.elapsed)
        progress = min(1.0, self.progress(steps))
        return self.elapsed * (1 - progress) / progress if progress else math.nan

    def score_is_due(self, steps: int, since: float, cost: float) -> bool:
        """Return whether to score after `steps`, `since` seconds after the last score, which took `cost` seconds."""
        total = self._settings.steps
        if total is not None:  # by steps, so that it is repeatable
            return steps % max(10, total // 6) == 0 and steps < total
        return since >= max(SCORE_EVERY, 5 * cost)


def seconds_of(settings: TrainSettings, ready: float, reserve: float = 0.0) -> float:
    """Return when a round with a budget in seconds makes its last step, counted from its beginning.

    Parameters
    ----------
    settings : TrainSettings
        With the budget; it is exceeded only where getting ready took nearly all of it.
    ready : float
        Seconds until the first step: the parent was scored, and pseudo-labels were made.
    reserve : float
        Seconds for the last scores; at most half of what is left for the steps.
    """
    seconds = settings.seconds or 0.0
    seconds = max(seconds, ready + LEAST_SHARE * seconds)
    return seconds - min(reserve, (seconds - ready) / 2)


def rate_factor(progress: float, step: int) -> float:
    """Return the factor on the learning rates: up over the first steps, then down along a cosine.

    Parameters
    ----------
    progress : float
        Share of the budget spent, 0 to 1.
    step : int
        Steps done.
    """
    falling = LAST_RATE + (1 - LAST_RATE) * 0.5 * (1 + math.cos(math.pi * progress))
    return falling * min(1.0, (step + 1) / WARM_UP_STEPS)


def has_learned(settings: TrainSettings, losses: Sequence[float], steps: int, ndim: int) -> bool:
    """Return whether the training loss says that all is learned, which is asked in whole rounds of seconds only.

    Parameters
    ----------
    settings : TrainSettings
        Of the round.
    losses : sequence of float
        Of the last `LOSSES` steps.
    steps : int
        Steps done.
    ndim : int
        2 or 3, of the network.
    """
    if settings.seconds is None or settings.short or steps < LEAST_STEPS[ndim]:
        return False
    return sum(losses) / len(losses) < LEARNED[ndim]
