"""An image as the search for regions sees it: known places, kept scores, and the network's answer here and there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from napari_unet.image.boxes import Box, as_box, grow, inside, overlap, three_axes, union
from napari_unet.image.normalize import Statistics, apply, measure
from napari_unet.image.source import ImageSource
from napari_unet.inference.channels import matched_source
from napari_unet.jobs import LazyArray
from napari_unet.learning.places import Place, RegionGrid
from napari_unet.learning.suggesting import FLIPS, Doubt, doubt, entropy, near_objects

if TYPE_CHECKING:
    from napari_unet.inference.predictor import Predictor

Seen = Literal["scores", "labels", "nothing"]

CONTEXT: dict[int, tuple[int, int, int]] = {2: (0, 32, 32), 3: (8, 16, 16)}


@dataclass(frozen=True, eq=False)
class SuggestImage:
    """One image of the session, by reference, with what is known and predicted of it.

    Parameters
    ----------
    image_id : str
        Its id.
    source : ImageSource
        The image.
    statistics : Statistics or None
        Of the whole image; measured when needed if None.
    known : LazyArray or None
        (T, Z, Y, X), bool.
    places : tuple of (int, Box)
        Everything known lies in them.
    scores : str
        File of the scores of the last segmentation, or empty.
    prediction : LazyArray or None
        (T, Z, Y, X): labels of the last segmentation, for where its scores are not kept.
    frames : tuple of (int, Box)
        What the last segmentation covered.
    """

    image_id: str
    source: ImageSource
    statistics: Statistics | None = None
    known: LazyArray | None = None
    places: tuple[Place, ...] = ()
    scores: str = ""
    prediction: LazyArray | None = None
    frames: tuple[Place, ...] = ()


class Looked:
    """One image while it is being looked at; only the pieces in question are read.

    Parameters
    ----------
    given : SuggestImage
        The image.
    predictor : Predictor
        The current model.
    check : callable
        Called during long reads; it may raise to stop.
    """

    def __init__(self, given: SuggestImage, predictor: Predictor, check: Callable[[], object]) -> None:
        self.given, self.predictor, self.check = given, predictor, check
        self.header = predictor.checkpoint.header
        self.source, _ = matched_source(given.source, self.header)
        self.grid = RegionGrid(given.source.shape, self.header.ndim)
        self.statistics = given.statistics
        self._known_at: dict[int, list[Box]] = {}
        for t, box in given.places:
            self._known_at.setdefault(t, []).append(box)
        self._covered: dict[int, Box] = {}
        for t, box in given.frames:
            self._covered[t] = union(self._covered.get(t, box), box)
        self._scores: npt.NDArray[Any] | None = None
        if given.scores and Path(given.scores).is_file():
            self._scores = np.load(given.scores, mmap_mode="r")

    def known(self, place: Place) -> npt.NDArray[np.bool_] | None:
        """Return what is known in a region; None if nothing is."""
        t, box = place
        if self.given.known is None or not any(overlap(box, other) for other in self._known_at.get(t, ())):
            return None
        return np.asarray(self.given.known[(t, *box)], bool)

    def known_share(self, place: Place) -> float:
        """Return the share of a region that is known."""
        known = self.known(place)
        return 0.0 if known is None else float(known.mean())

    def glance(self, place: Place) -> tuple[Seen, float]:
        """Return what the last segmentation left of a region, and how much there is to decide by that.

        By the scores: their entropy near objects. By the labels alone: how long the borders in them are.
        """
        t, box = place
        if t not in self._covered or overlap(box, self._covered[t]) is None:
            return "nothing", 0.0
        _, rows, columns = box
        if self._scores is not None:
            thin = (box[0], slice(rows.start, rows.stop, 2), slice(columns.start, columns.stop, 2))
            scores = np.asarray(self._scores[t][(slice(None), *thin)], np.float32)
            near = near_objects(scores[None], self.header.output)
            return "scores", float((entropy(scores, self.header.output) * near).mean())
        if self.given.prediction is None:
            return "nothing", 0.0
        labels = self.given.prediction[(t, *box)]
        return "labels", sum(
            float((np.diff(labels, axis=axis) != 0).mean()) for axis in (1, 2) if labels.shape[axis] > 1
        )

    def doubt(self, place: Place, parent: Predictor | None) -> Doubt:
        """Let the network look at a region from several sides."""
        flipped, image = self.predicted(place, self.predictor, FLIPS)
        before = None if parent is None else self.predicted(place, parent, FLIPS[:1])[0][0]
        return doubt(flipped, before, image, self.known(place), self.header.output)

    def predicted(
        self, place: Place, predictor: Predictor, flips: tuple[tuple[int, ...], ...]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Return the scores (N, C, Z, Y, X) of a region under flips, and the normalized image (C, Z, Y, X)."""
        t, box = place
        values, seen = self._read(t, box, predictor.checkpoint.geometry.divisor)
        flat = self.header.ndim == 2
        results = []
        for axes in flips:
            batch = np.ascontiguousarray(np.flip(values, axes))[None]
            scores = predictor.engine.run(batch[:, :, 0] if flat else batch, where=f"time {t}")[0]
            scores = np.flip(scores[:, None] if flat else scores, axes)
            results.append(scores[(slice(None), *inside(box, seen))])
            self.check()
        return np.stack(results), values[(slice(None), *inside(box, seen))]

    def _read(self, t: int, box: Box, divisor: tuple[int, ...]) -> tuple[npt.NDArray[np.float32], Box]:
        """Return the normalized image of a region with context, of a size that the network takes, and its box."""
        if self.statistics is None:
            self.statistics = measure(self.source, self.header.normalization, self.check)
        real = grow(box, CONTEXT[self.header.ndim], self.source.shape[1:])
        values = apply(self.source.read(t, real), self.statistics, self.header.normalization)
        steps = three_axes(divisor, 1)
        lengths = [-(-n // step) * step for n, step in zip(values.shape[1:], steps, strict=True)]
        beyond = [(0, length - n) for length, n in zip(lengths, values.shape[1:], strict=True)]
        start = [part.start for part in real]
        seen = as_box(start, [a + length for a, length in zip(start, lengths, strict=True)])
        return np.pad(values, [(0, 0), *beyond], mode="edge"), seen
