"""What a session knows: images with their truths, models, and the round of training at hand."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy.typing as npt
from psygnal import Signal, SignalGroup

from napari_unet.image.boxes import Box
from napari_unet.image.normalize import Normalization, Statistics
from napari_unet.image.source import ImageSource
from napari_unet.jobs import Job, Progress
from napari_unet.learning.decision import Decision
from napari_unet.learning.truth import Truth
from napari_unet.model.header import CheckpointHeader, Output

TruthKey = tuple[str, ...]
StatisticsKey = tuple[Normalization, int, bool]


def statistics_key(header: CheckpointHeader) -> StatisticsKey:
    """Return what the statistics of an image depend on: how a model normalizes which channels."""
    return header.normalization, header.in_channels, header.repeat_gray


def is_instances(output: Output, connected: bool) -> bool:
    """Whether label values are objects; a foreground may be shown as connected objects."""
    return output.numbered(connected)


def truth_key(output: Output, connected: bool = False) -> TruthKey:
    """Return what the label values of an output mean; equal keys share one Labels layer."""
    return ("instances",) if is_instances(output, connected) else ("classes", *(c.name for c in output.classes))


@dataclass(frozen=True)
class Origin:
    """What a prediction came from; it goes back and forth with the prediction in the history.

    Parameters
    ----------
    model : CheckpointHeader or None
        The model; None for imported labels.
    settings : dict
        Settings, as JSON values.
    scores : str
        File of the scores, if they were kept.
    frames : tuple of (int, Box)
        The (t, box) that were scored completely, so that they can be decoded again.
    """

    model: CheckpointHeader | None = None
    settings: dict[str, object] = field(default_factory=dict)
    scores: str = ""
    frames: tuple[tuple[int, Box], ...] = ()

    @property
    def flat(self) -> bool:
        """Whether objects were found plane by plane: by a 2D model that has not looked in three directions."""
        planes = all(box[0].stop - box[0].start == 1 for _, box in self.frames)
        return planes and self.model is not None and self.model.ndim == 2


@dataclass
class LabelState:
    """The labels of one image under one meaning.

    Attributes
    ----------
    truth : Truth
        Prediction, labels and known, each (T, Z, Y, X).
    array : ndarray
        The labels in the image's axis order, sharing memory with ``truth.labels``; the Labels
        layer shows and paints this very array.
    origin : Origin
        What the prediction on screen came from.
    stroking : bool
        A stroke is under way: program writes wait.
    """

    truth: Truth
    array: npt.NDArray[Any]
    origin: Origin = field(default_factory=lambda: Origin())
    stroking: bool = False

    @property
    def model(self) -> CheckpointHeader | None:
        """The model that made the prediction on screen."""
        return self.origin.model

    @property
    def frames(self) -> tuple[tuple[int, Box], ...]:
        """Where the scores of the prediction were kept."""
        return self.origin.frames


@dataclass(frozen=True)
class Area:
    """Which part of a large image an image of the session is.

    Parameters
    ----------
    parent : str
        Id of the large image.
    t : int
        Time point of it.
    box : tuple of slice
        (z, y, x) in it.
    """

    parent: str
    t: int
    box: Box


@dataclass
class ImageState:
    """One image of the session.

    Attributes
    ----------
    image_id : str
    source : ImageSource
    labels : dict
        What is known and predicted, by the meaning of the labels.
    statistics : dict
        Measured once for each way of normalizing.
    large : bool
        Its labels are a pyramid on the disk, and only its work areas can be corrected.
    area : Area or None
        It is a work area of a large image.
    """

    image_id: str
    source: ImageSource
    labels: dict[TruthKey, LabelState] = field(default_factory=dict)
    statistics: dict[StatisticsKey, Statistics] = field(default_factory=dict)
    large: bool = False
    area: Area | None = None


@dataclass(frozen=True)
class ModelVersion:
    """A checkpoint file that the session can use.

    Parameters
    ----------
    path : str
        File, or the name of a built-in checkpoint.
    header : CheckpointHeader
        What it says about itself.
    summary : str
        How it came about and how it scored, one sentence for the history.
    untrained : bool
        A new model that has seen no stroke yet.
    """

    path: str
    header: CheckpointHeader
    summary: str = ""
    untrained: bool = False


@dataclass(frozen=True)
class Round:
    """The outcome of one training round.

    Parameters
    ----------
    parent, candidate : ModelVersion
        Before and after.
    decision : Decision
        Adopt, keep the parent, or preliminary, with the numbers and the sentence.
    steps : int
        Optimization steps made.
    quick : bool
        A quick refit: shown, not measured.
    """

    parent: ModelVersion
    candidate: ModelVersion
    decision: Decision
    steps: int
    quick: bool = False


@dataclass
class JobView:
    """A running job, for the panel."""

    job: Job
    progress: Progress = Progress(0, 0)
    note: str = ""


@dataclass
class Curve:
    """What training reported so far, for the plot: seconds, loss and score (NaN where none)."""

    seconds: list[float] = field(default_factory=list)
    loss: list[float] = field(default_factory=list)
    score: list[float] = field(default_factory=list)


class SessionEvents(SignalGroup):
    """What a session tells; always on the main thread."""

    project_changed = Signal()  # another project was opened, or this one was moved
    images_changed = Signal()
    model_changed = Signal()
    labels_created = Signal(str)  # image id: `Session.labels_array` is a new array
    labels_changed = Signal(str, int, tuple)  # image id, time point, (z, y, x) box
    known_changed = Signal(str)
    pyramid_changed = Signal(str, int, tuple)  # id of a large image, time point, (z, y, x) box
    area_changed = Signal(str)  # id of a large image: it has another work area, or none
    job_changed = Signal(str)  # "segment", "train", "model"
    round_changed = Signal()
    history_changed = Signal()
    suggestion_ready = Signal(object)  # `Suggestion`: the user is to be led there
    suggestion_changed = Signal()  # `Session.suggestion`: another one, or none
    numbers_changed = Signal()  # scores before correction, random regions: `Session.verdict`
    consent_needed = Signal(object)  # `CodeQuestion`: a model file contains code
    answers_needed = Signal(object)  # `ModelQuestion`: no file says how a model is used
    message = Signal(str, str, str)  # level "info" or "error", sentence, details
