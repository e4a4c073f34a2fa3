"""Whether the work is done: a plain sentence from scores over the minutes spent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from napari_unet.learning.audit import Accuracy

LAST = 8  # regions that a mean is taken over
RISE = 0.02  # of such a mean: less is no change
FLAT_MINUTES = 10.0
GOOD = 0.8  # accuracy

Point = tuple[float, float]


@dataclass(frozen=True)
class Verdict:
    """How far the work is.

    Parameters
    ----------
    kind : {"early", "improving", "flat", "enough"}
        "enough" is only ever said by random regions.
    sentence : str
        In plain words.
    """

    kind: Literal["early", "improving", "flat", "enough"]
    sentence: str


@dataclass(frozen=True)
class Trend:
    """Means over the last regions: now, before, and for how many minutes nothing has changed."""

    now: float
    before: float
    flat_minutes: float

    @property
    def rising(self) -> bool:
        """Whether the last regions are better than those before them."""
        return self.now - self.before > RISE


def rolling(points: Sequence[Point], last: int = LAST) -> list[Point]:
    """Return (minutes, mean over the last regions) for every region; the first means are over fewer.

    Parameters
    ----------
    points : sequence of (float, float)
        Minutes and score of each region, in order.
    last : int
        Regions that a mean is taken over.
    """
    scores = [score for _, score in points]
    return [(minutes, float(np.mean(scores[max(0, n + 1 - last) : n + 1]))) for n, (minutes, _) in enumerate(points)]


def trend(points: Sequence[Point]) -> Trend | None:
    """Return how the scores go; None with fewer than `LAST` regions.

    The slope is that of a straight line through the last `LAST` regions; it counts as a change only beyond its own
    standard error. Flat is the time since the rolling mean was last off by more than `RISE`.
    """
    if len(points) < LAST:
        return None
    minutes, scores = np.array(points[-LAST:], float).T
    place = np.arange(LAST) - (LAST - 1) / 2
    slope = float(place @ scores / (place @ place))
    rest = scores - scores.mean() - slope * place
    error = float(np.sqrt(rest @ rest / (LAST - 2) / (place @ place)))
    change = slope * (LAST - 1) if abs(slope) > error else 0.0
    means = rolling(points)[LAST - 1 :]
    now = means[-1][1]
    off = [time for time, mean in means if abs(mean - now) > RISE]
    begin = points[0][0] if not off else max(off)
    flat = 0.0 if abs(change) > RISE else float(minutes[-1] - begin)
    return Trend(now, now - change, flat)


def judge(audits: Sequence[Point], corrected: Sequence[Point], accuracy: Accuracy | None) -> Verdict:
    """Say how far the work is.

    Parameters
    ----------
    audits : sequence of (float, float)
        Minutes and score of the random regions, in order.
    corrected : sequence of (float, float)
        The same of the regions before they were corrected, without those that were accepted as predicted.
    accuracy : Accuracy or None
        Of the current model over the random regions.
    """
    random = trend(audits)
    if random is not None and accuracy is not None and accuracy.n >= LAST:
        return _by_audits(random, accuracy)
    have = "" if accuracy is None else f" So far {accuracy}."
    before = trend(corrected)
    if before is None:
        n = len(corrected)
        regions = "1 region" if n == 1 else f"{n or 'no'} regions"
        return Verdict("early", f"Too early to say: {regions} corrected; from {LAST} on there is a trend.{have}")
    if before.rising:
        rise = f"agreement before correction {before.before:.2f} → {before.now:.2f}"
        return Verdict("improving", f"Still getting better: {rise} over the last {LAST} regions.{have}")
    sentence = f"No clear gain over the last {LAST} regions: agreement before correction {before.now:.2f}."
    return Verdict("flat", f"{sentence}{have} Whether it is enough, only random regions tell: click Next.")


def _by_audits(random: Trend, accuracy: Accuracy) -> Verdict:
    if random.rising:
        return Verdict("improving", f"Still getting better: {accuracy}, up from {random.before:.2f}.")
    if random.flat_minutes < FLAT_MINUTES:
        return Verdict("early", f"Too early to say whether it still gets better: {accuracy}.")
    flat = f"flat for {random.flat_minutes:.0f} minutes"
    if accuracy.mean >= GOOD:
        return Verdict("enough", f"Probably good enough: {accuracy} and {flat}.")
    return Verdict("flat", f"No longer getting better: {accuracy} and {flat}. Correct other kinds of places.")
