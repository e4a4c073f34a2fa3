"""(a) A random forest on multi-scale filter features, as ilastik and Labkit have it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from interactive_parts.rules.base import Outcome, Rule
from interactive_parts.task import Labels, Task
from interactive_parts.work import Known, Work
from napari_unet.image.normalize import Normalization, apply, measure
from napari_unet.image.source import ImageSource
from napari_unet.inference.labels.objects import decode
from napari_unet.learning.filters import filter_features
from napari_unet.learning.targets import targets
from napari_unet.model.header import COLORS, ClassInfo, Output

TREES = 100
MOST = 15_000  # known voxels per class that the forest is fitted to; drawn at random beyond, so that it ends in time
SLAB = 2**19  # voxels classified at once
REACH = 32  # voxels around what is known that the features are computed on: three sigmas of the widest filter


class Forest(Rule):
    """Learns the class of a voxel from the filters' responses there.

    For objects it learns background, interior and boundary, as the network does, and its scores are decoded in the
    same way. A new forest is grown in each round from everything known (L. Breiman, "Random forests", Machine
    Learning 45, 2001). It needs scikit-learn.
    """

    name: ClassVar[str] = "forest"
    inherits: ClassVar[bool] = False

    def __init__(self, task: Task, seed: int, folder: Path) -> None:
        super().__init__(task, seed, folder)
        names = ("background", "interior", "boundary") if task.kind == "instances" else task.classes
        infos = tuple(ClassInfo(name, COLORS[i]) for i, name in enumerate(task.classes))
        self.output = Output(task.kind, "softmax", names, infos)
        self._generator = np.random.default_rng((31, seed))
        self.forest: Any = None

    def round(self, work: Work, seconds: float) -> Outcome:
        """Grow a new forest."""
        from sklearn.ensemble import RandomForestClassifier

        values, classes = self._samples(work.snapshot())
        self.forest = RandomForestClassifier(TREES, random_state=self.seed, n_jobs=1).fit(values, classes)
        self.current = self.answer
        return Outcome("adopt", self._frozen(), TREES, f"{len(classes)} voxels")

    def _frozen(self) -> Any:
        forest = self.forest
        return lambda source: self._answer(source, forest)

    def answer(self, source: ImageSource) -> Labels:
        """Return the labels of an image by the newest forest."""
        return self._answer(source, self.forest)

    def scores(self, source: ImageSource, forest: Any) -> npt.NDArray[np.float32]:
        """Return the scores (C, [Z], Y, X) of an image."""
        features = filter_features(self._image(source))
        flat = features.reshape(len(features), -1).T
        found = np.zeros((len(self.output.channels), flat.shape[0]), np.float32)
        for start in range(0, flat.shape[0], SLAB):
            found[forest.classes_, start : start + SLAB] = forest.predict_proba(flat[start : start + SLAB]).T
        return found.reshape(-1, *features.shape[1:])

    def _answer(self, source: ImageSource, forest: Any) -> Labels:
        found = decode(self.scores(source, forest), self.output)
        return found if found.ndim == 3 else found[None]

    def _image(self, source: ImageSource) -> npt.NDArray[np.float32]:
        normalization = Normalization()
        image = apply(source.read(0), measure(source, normalization), normalization)
        return image[:, 0] if self.task.ndim == 2 else image

    def _samples(self, known: list[Known]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        places = []
        for one in known:
            flat = self.task.ndim == 2
            labels, mask = (a[0] if flat else a for a in (one.labels, one.known))
            target, certain = targets(labels, mask, self.output)
            places.append((one, target, certain))
        values, classes = [], []
        counts = np.sum([np.bincount(t[c], minlength=len(self.output.channels)) for _, t, c in places], axis=0)
        share = np.minimum(1.0, MOST / np.maximum(counts, 1))
        for one, target, certain in places:
            chosen = certain & (self._generator.random(certain.shape) < share[target])
            if not chosen.any():
                continue
            image = self._image(one.source)
            # The filters see no farther than `REACH`, so a box around what is known gives the same responses.
            box = tuple(slice(max(int(hit.min()) - REACH, 0), int(hit.max()) + REACH + 1) for hit in np.nonzero(chosen))
            features = filter_features(image[(slice(None), *box)])
            values.append(features[:, chosen[box]].T)
            classes.append(target[chosen])
        return np.concatenate(values), np.concatenate(classes)
