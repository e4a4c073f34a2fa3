"""Whether a new model replaces its parent."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

MAX_LOSS = 0.02  # of the mean agreement: what may be lost by chance
COLLAPSE = 0.5  # share of the agreement with the first regions that has to be left, whatever the blocks say
USUAL_SPREAD, USUAL_BLOCKS = 0.05, 3  # of the gains of single blocks, and how many blocks that is worth
CONFIDENCE = 1.645  # standard errors on either side: 90 % of a normal distribution, 5 % below

Scores = Sequence[float]


@dataclass(frozen=True)
class Decision:
    """Whether a candidate replaces its parent.

    Parameters
    ----------
    verdict : {"adopt", "keep", "preliminary"}
        ``keep``: the parent stays. ``preliminary``: too little to measure by, or unclear; the user decides.
    sentence : str
        Why, in one sentence.
    parent, candidate : float or None
        Mean agreement with the user's corrections over the blocks held back, 0 to 1.
    interval : tuple of float or None
        Of the mean gain over the blocks, 90 %.
    n_blocks : int
        Blocks held back.
    guard : tuple of float or None
        Mean agreement of parent and candidate with the regions that the work began with.
    """

    verdict: Literal["adopt", "keep", "preliminary"]
    sentence: str
    parent: float | None
    candidate: float | None
    interval: tuple[float, float] | None
    n_blocks: int
    guard: tuple[float, float] | None = None


def decide(
    candidate: Scores,
    parent: Scores,
    min_blocks: int = 2,
    *,
    guard: tuple[Scores, Scores] | None = None,
    favours_parent: bool = False,
) -> Decision:
    """Compare a candidate with its parent on the same blocks.

    Parameters
    ----------
    candidate, parent : sequence of float
        A value per block, in the same order, whose mean is the agreement (`napari_unet.learning.pooling.shares`).
    min_blocks : int
        With fewer, the verdict is "preliminary".
    guard : (sequence of float, sequence of float), optional
        Agreement of the candidate and of the parent with the regions that the work began with.
    favours_parent : bool
        The values count what was left uncorrected, in which the parent has everything right by definition: a lower
        agreement then leaves the decision to the user.

    Returns
    -------
    Decision
        Adopt if the mean agreement is not lower by more than `MAX_LOSS`, which its interval must say, too: a model
        that is as good has learned from more. Where the mean rose, but the interval reaches further down, the user
        decides. The guard keeps a candidate out that surely, by its interval, lost more than `MAX_LOSS` and than the
        blocks gained: the first regions taught the parent, so that a part of its agreement with them is memory.
        One that keeps less than `COLLAPSE` of it is never adopted unasked.
    """
    n = len(candidate)
    kept = (float(np.mean(guard[1])), float(np.mean(guard[0]))) if guard and guard[0] and guard[1] else None
    before, after = (float(np.mean(s)) if n else None for s in (parent, candidate))
    gained = 0.0 if before is None or after is None else after - before
    forgets = guard is not None and kept is not None and gain_interval(*guard)[1] < -max(MAX_LOSS, gained)
    collapsed = kept is not None and kept[1] < COLLAPSE * kept[0]
    first = "" if kept is None else f"the first regions of the work {kept[0]:.3f} → {kept[1]:.3f}"
    if n < max(min_blocks, 1) or before is None or after is None:
        have = "no block is" if n == 0 else f"only {n} block is" if n == 1 else f"only {n} blocks are"
        sentence = (
            f"Preliminary: {have} held back to measure by{f', and it forgets ({first})' if forgets else ''}; "
            "compare before and after, then keep or discard."
        )
        return Decision("preliminary", sentence, before, after, None, n, kept)
    interval = gain_interval(candidate, parent)
    numbers = (
        f"agreement with your corrections {before:.3f} → {after:.3f} on {n} blocks held back "
        f"(gain {after - before:+.3f}, 90 % interval {interval[0]:+.3f} to {interval[1]:+.3f})"
    )
    unsure = interval[0] < -MAX_LOSS
    if unsure and after <= before and not favours_parent:
        return Decision("keep", f"The earlier model stays: {numbers}.", before, after, interval, n, kept)
    if forgets:
        sentence = f"The earlier model stays, since the new one forgets: {first}; {numbers}."
        return Decision("keep", sentence, before, after, interval, n, kept)
    if unsure or collapsed:
        if collapsed:
            doubt = f"it loses much of what was right ({first})"
        elif unsure and after <= before:
            doubt = "it changes more of what you left than it mends"
        else:
            doubt = "it may as well be worse"
        unclear = f"Preliminary: {numbers}; {doubt}. Compare before and after, then keep or discard."
        return Decision("preliminary", unclear, before, after, interval, n, kept)
    reason = "" if after > before else "as good, and it has learned from more; "
    return Decision("adopt", f"Adopted: {reason}{numbers}{first and '; ' + first}.", before, after, interval, n, kept)


def gain_interval(candidate: Scores, parent: Scores) -> tuple[float, float]:
    """Return the 90 % interval of the mean gain over blocks.

    The spread of the gains is the measured one together with a usual one that is worth `USUAL_BLOCKS` blocks: a
    few blocks that happen to agree are no proof. (Resampling two or three blocks, as the bootstrap does, gives
    intervals that are much too narrow.)

    Parameters
    ----------
    candidate, parent : sequence of float
        A value per block, in the same order; at least one.
    """
    gain = np.subtract(candidate, parent)
    mean, n = float(gain.mean()), gain.size
    measured = float(((gain - mean) ** 2).sum())  # (n - 1) times the variance
    variance = (USUAL_BLOCKS * USUAL_SPREAD**2 + measured) / (USUAL_BLOCKS + n - 1)
    half = CONFIDENCE * math.sqrt(variance / n)
    return mean - half, mean + half
