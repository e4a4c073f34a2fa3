"""Regions chosen at random and labelled without seeing a prediction: the only ones that tell accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_unet.image.boxes import Box, as_box, extent, inside, overlap
from napari_unet.learning.assignment import GAP
from napari_unet.learning.evaluation import bootstrap


@dataclass(frozen=True)
class AuditRegion:
    """One random check.

    Such regions never train, never validate and never select a model.

    Parameters
    ----------
    image_id : str
        Which image.
    t : int
        Time point.
    box : Box
        Where, (z, y, x).
    minutes : float
        The user's active minutes when it was done.
    score : float or None
        Of the prediction that was hidden, 0 to 1; None where there was none.
    weights_hash : str
        Of the model that made the hidden prediction; empty where there was none.
    """

    image_id: str
    t: int
    box: Box
    minutes: float
    score: float | None
    weights_hash: str

    @property
    def name(self) -> str:
        """Where it lies, as text: the same place has the same name."""
        return f"{self.image_id} t{self.t} " + " ".join(f"{part.start}:{part.stop}" for part in self.box)


@dataclass(frozen=True)
class Accuracy:
    """Mean score of a model over random regions that it never learned from.

    Parameters
    ----------
    mean, low, high : float
        0 to 1; the interval is that of resampling the regions, 95 %.
    n : int
        Random regions.
    """

    mean: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        regions = "random region" if self.n == 1 else "random regions"
        # One or two regions say nothing of the spread; resampling them would pretend to certainty.
        interval = f"{self.low:.2f}–{self.high:.2f}, " if self.n > 2 else ""
        return f"accuracy {self.mean:.2f} ({interval}{self.n} {regions})"


def accuracy(scores: Sequence[float]) -> Accuracy | None:
    """Return the accuracy from the scores of random regions; None without any."""
    if len(scores) == 0:
        return None
    low, high = bootstrap(scores)
    return Accuracy(float(np.mean(scores)), low, high, len(scores))


def audited(places: Sequence[tuple[int, Box]], t: int, box: Box) -> npt.NDArray[np.bool_]:
    """Return the voxels of a box that must not teach, of the box's shape: random regions with a gap around them.

    Parameters
    ----------
    places : sequence of (int, Box)
        Time points and boxes of the random regions of one image.
    t : int
        Time point.
    box : Box
        Where it is asked, (z, y, x).
    """
    mask = np.zeros(extent(box), bool)
    for time, place in places:
        ends = [(p.start - gap, p.stop + gap) for p, gap in zip(place, GAP, strict=True)]
        wide = as_box([low for low, _ in ends], [high for _, high in ends])
        common = overlap(wide, box) if time == t else None
        if common is not None:
            mask[inside(common, box)] = True
    return mask
