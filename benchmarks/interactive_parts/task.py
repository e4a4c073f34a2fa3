"""What a task is: images with truth to work on, untouched images to be scored on, and the score."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from napari_unet.image.source import ImageSource
from napari_unet.learning.evaluation import class_dice, dice, match_objects

Labels = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Example:
    """An image and its truth, (Z, Y, X): object ids, or class indices."""

    source: ImageSource
    truth: Labels

    @property
    def name(self) -> str:
        """Name of the image."""
        return self.source.name


@dataclass(frozen=True, eq=False)
class Task:
    """What is to be learned.

    Parameters
    ----------
    name : str
        Short name, as on the command line.
    kind : {"instances", "classes"}
        What a label value is.
    ndim : {2, 3}
        Of the network.
    classes : tuple of str
        Names, the background first.
    parent : str or None
        Checkpoint that the work starts from; None for a model from the user's strokes.
    general : str or None
        Where it starts from strokes: a general parent that has not seen the task's data set.
    train, test : tuple of Example
        The annotator works on the first; nothing of the second is ever shown to annotator, training or tuning.
    forget : tuple of Example
        Images of the kind that the parent was made for and never saw.
    """

    name: str
    kind: Literal["instances", "classes"]
    ndim: Literal[2, 3]
    classes: tuple[str, ...]
    parent: str | None
    train: tuple[Example, ...]
    test: tuple[Example, ...]
    forget: tuple[Example, ...] = ()
    general: str | None = None

    @property
    def in_channels(self) -> int:
        """Channels of the images."""
        return self.train[0].source.n_channels


@dataclass(frozen=True)
class Score:
    """Means over images: ``score`` is the task's figure, ``dice`` the foreground's Dice coefficient.

    For objects the figure is AP at an IoU of 0.5; for classes the mean Dice coefficient of the classes
    other than the background.
    """

    score: float
    dice: float


Predict = Callable[[ImageSource], Labels]


def score_one(task: Task, truth: Labels, found: Labels) -> Score:
    """Score the labels of one image, (Z, Y, X)."""
    found = np.asarray(found).reshape(truth.shape).astype(np.int64)
    if task.kind == "instances":
        return Score(match_objects(truth, found).average_precision, dice(truth, found))
    by_class = class_dice(truth, found, len(task.classes))
    values = [value for index, value in by_class.items() if index > 0]
    return Score(float(np.mean(values)) if values else 1.0, dice(truth, found))


def score_all(task: Task, examples: Sequence[Example], predict: Predict) -> Score:
    """Score a predictor on images; the mean over images."""
    return mean_score([score_one(task, example.truth, predict(example.source)) for example in examples])


def mean_score(scores: Sequence[Score]) -> Score:
    """Return the mean of each figure."""
    return Score(float(np.mean([s.score for s in scores])), float(np.mean([s.dice for s in scores])))
