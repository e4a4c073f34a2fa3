"""Which region is worth correcting most: disagreement, kept to where it matters, and kept diverse. Free of torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

if TYPE_CHECKING:
    from napari_unet.model.header import Output

Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

FLIPS: tuple[tuple[int, ...], ...] = ((), (-1,), (-2,), (-2, -1))
FAINT, REACH = 0.25, 3  # foreground score, and voxels around it, that count as near an object
ENTROPY_WEIGHT = 0.1  # beside disagreement: where no two predictions differ, an undecided one still leads


def foreground(scores: npt.NDArray[Any], output: Output) -> npt.NDArray[Any]:
    """Return the score of not being background, (..., Z, Y, X), from scores (..., C, Z, Y, X)."""
    if output.kind == "binary":
        return scores[..., 0, :, :, :]
    if output.kind == "classes":
        return 1 - scores[..., 0, :, :, :]
    if "background" in output.channels:
        return 1 - scores[..., output.channels.index("background"), :, :, :]
    found: npt.NDArray[Any] = scores.max(axis=-4)
    return found


def near_objects(scores: npt.NDArray[Any], output: Output) -> Mask:
    """Return the band that counts: where any of several predictions sees a trace of an object, and around it.

    Noise in empty background lies outside, whatever its sum over a wide region.

    Parameters
    ----------
    scores : ndarray, (N, C, Z, Y, X)
        Predictions of one region.
    output : Output
        What their channels mean.
    """
    traces = foreground(scores, output).max(axis=0) >= FAINT
    structure = ndimage.generate_binary_structure(3, 1)
    structure[[0, 2]] = False
    return np.asarray(ndimage.binary_dilation(traces, structure, iterations=REACH), bool)


def entropy(scores: npt.NDArray[Any], output: Output) -> Floats:
    """Return how undecided a prediction is, in bits, (..., Z, Y, X), from scores (..., C, Z, Y, X).

    Channels that do not exclude one another are taken one by one and averaged.
    """
    p = np.clip(np.asarray(scores, np.float32), 1e-6, 1 - 1e-6)
    if output.kind == "binary" or output.activation == "sigmoid":
        apart: Floats = -(p * np.log2(p) + (1 - p) * np.log2(1 - p)).mean(axis=-4)
        return apart
    together: Floats = -(p * np.log2(p)).sum(axis=-4)
    return together


def divergence(scores: npt.NDArray[Any], output: Output) -> Floats:
    """Return how far several predictions are apart: the Jensen-Shannon divergence, in bits.

    The entropy of the mean prediction less the mean entropy of the predictions (Lin 1991): 0 where all
    say the same, however undecided they are, 1 where two say with certainty two different things.

    Parameters
    ----------
    scores : ndarray, (N, C, Z, Y, X)
        Predictions of one region, each turned back into the region's own orientation.
    output : Output
        What their channels mean.

    Returns
    -------
    ndarray of float32, (Z, Y, X)
        Not negative.
    """
    mixed = entropy(scores.mean(axis=0, dtype=np.float32), output)
    return np.asarray(np.maximum(mixed - entropy(scores, output).mean(axis=0), 0), np.float32)


def decided(scores: npt.NDArray[Any], output: Output) -> npt.NDArray[np.int64]:
    """Return the most likely channel per voxel, (..., Z, Y, X); 0 and 1 for one foreground channel."""
    if output.kind == "binary":
        return np.asarray(scores[..., 0, :, :, :] >= 0.5, np.int64)
    return np.asarray(scores.argmax(axis=-4), np.int64)


@dataclass(frozen=True, eq=False)
class Doubt:
    """How much there is to doubt in one region.

    Parameters
    ----------
    score : float
        Bits of disagreement near objects over the region's unknown voxels, per voxel of the region: what is
        known already counts as nothing.
    flips, versions : float
        Share of the region's unknown voxels where flipped predictions, or the model and its parent, decide
        differently.
    features : ndarray
        Mean and standard deviation of scores and intensities, to tell how alike two regions are.
    """

    score: float
    flips: float
    versions: float
    features: Floats


def doubt(
    flipped: npt.NDArray[Any],
    parent: npt.NDArray[Any] | None,
    image: npt.NDArray[Any],
    known: Mask | None,
    output: Output,
) -> Doubt:
    """Measure one region.

    Parameters
    ----------
    flipped : ndarray, (N, C, Z, Y, X)
        The model's predictions under flips; the first is the plain one.
    parent : ndarray, (C, Z, Y, X), or None
        The parent version's plain prediction.
    image : ndarray, (channels, Z, Y, X)
        The normalized image.
    known : ndarray of bool, (Z, Y, X), or None
        What is known already.
    output : Output
        What the channels mean.
    """
    unknown = np.ones(flipped.shape[2:], bool) if known is None else ~known
    both = None if parent is None else np.stack([flipped[0], parent])
    counted = near_objects(flipped if both is None else np.concatenate([flipped, both[1:]]), output) & unknown
    bits = divergence(flipped, output) + ENTROPY_WEIGHT * entropy(flipped.mean(axis=0), output)
    if both is not None:
        bits = bits + divergence(both, output)
    return Doubt(
        float(bits[counted].sum() / counted.size),
        _differing(flipped, unknown, output),
        0.0 if both is None else _differing(both, unknown, output),
        features(flipped.mean(axis=0), image),
    )


def features(scores: npt.NDArray[Any], image: npt.NDArray[Any]) -> Floats:
    """Return mean and standard deviation of each channel of scores and image, (C, Z, Y, X) each."""
    rows = [np.asarray(part, np.float32).reshape(len(part), -1) for part in (scores, image)]
    return np.concatenate([value for row in rows for value in (row.mean(axis=1), row.std(axis=1))])


def _differing(predictions: npt.NDArray[Any], unknown: Mask, output: Output) -> float:
    labels = decided(predictions, output)
    return float((labels != labels[:1]).any(axis=0)[unknown].mean()) if unknown.any() else 0.0


# ---- which of many ----------------------------------------------------------------------------


def choose(doubts: list[Doubt], corrected: list[Floats], count: int) -> list[int]:
    """Choose regions that are doubtful and unlike one another and what was corrected before.

    Greedy, in the manner of k-centre (Sener and Savarese 2018): each time the region with the largest
    product of its score and its distance to the nearest region chosen or corrected before; distances
    beyond the median one between two regions count alike, so that being odd alone wins nothing.

    Parameters
    ----------
    doubts : list of Doubt
        The candidates.
    corrected : list of ndarray
        Features of regions that were corrected before.
    count : int
        How many at most.

    Returns
    -------
    list of int
        Positions in `doubts`, the best first.
    """
    if not doubts:
        return []
    points = np.stack([one.features for one in doubts] + corrected)
    points = (points - points.mean(axis=0)) / (points.std(axis=0) + 1e-6)
    apart = np.linalg.norm(points[:, None] - points[None], axis=2)
    pairs = apart[np.triu_indices(len(points), 1)]
    usual = float(np.median(pairs)) if pairs.size else 0.0
    nearness = np.minimum(apart / (usual or 1.0), 1.0) if usual else np.ones_like(apart)
    score = np.array([one.score for one in doubts])
    distance = nearness[: len(doubts), len(doubts) :].min(axis=1, initial=1.0)
    chosen: list[int] = []
    while len(chosen) < min(count, len(doubts)):
        worth = score * distance
        worth[chosen] = -1
        best = int(worth.argmax())
        chosen.append(best)
        distance = np.minimum(distance, nearness[best, : len(doubts)])
    return chosen


def reason_for(one: Doubt) -> str:
    """Return in one sentence why a region was chosen."""
    if one.versions > one.flips:
        return f"Uncertain: this model and the one before disagree on {_percent(one.versions)} of the pixels."
    if one.flips > 0:
        return f"Uncertain: flips disagree on {_percent(one.flips)} of the pixels."
    return "Uncertain: the model is closest to changing its mind here."


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.005 else "under 1 %"
