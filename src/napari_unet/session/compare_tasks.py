"""The job function that segments a view with two models and tells what differs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from napari_unet.image.boxes import Box
from napari_unet.image.normalize import Statistics
from napari_unet.image.source import ImageSource
from napari_unet.inference.labels.objects import ObjectSettings
from napari_unet.inference.options import PredictOptions
from napari_unet.jobs import JobContext
from napari_unet.learning.changes import (
    ChangeMap,
    Counts,
    class_changes,
    classes_sentence,
    object_changes,
    objects_sentence,
)
from napari_unet.session.tasks import predictor_for
from napari_unet.session.view_tasks import Labels, labels_of_view


@dataclass(frozen=True)
class Side:
    """One of the two models: its file, and the statistics of the image for it, measured if None."""

    checkpoint: str
    statistics: Statistics | None


@dataclass(frozen=True)
class CompareRequest:
    """Which two models, where, and how their scores become labels.

    Parameters
    ----------
    before, after : Side
        The models.
    source : ImageSource
        The image, by reference.
    t, box : int, Box
        The view.
    objects : ObjectSettings
        How scores become labels.
    names : tuple of str or None
        Classes; None where labels are objects.
    device, precision : str
        See `napari_unet.inference.predictor.Predictor`.
    options : PredictOptions
        How the models are run; a 2D model is compared plane by plane.
    """

    before: Side
    after: Side
    source: ImageSource
    t: int
    box: Box
    objects: ObjectSettings
    names: tuple[str, ...] | None
    device: str = "auto"
    precision: str = "auto"
    options: PredictOptions = field(default_factory=PredictOptions)


@dataclass(frozen=True, eq=False)
class CompareResult:
    """The change map of the box (see `napari_unet.learning.changes`), the counts and a sentence.

    ``counts`` has one entry, of objects, or one per class.
    """

    changes: ChangeMap
    counts: tuple[Counts, ...]
    sentence: str


def compare(context: JobContext, request: CompareRequest) -> CompareResult:
    """Segment the box with both models and tell what differs."""
    context.progress(0, 0, "loading the models")
    labels = []
    for half, side in enumerate((request.before, request.after)):

        def progress(done: int, total: int, half: int = half) -> None:
            context.progress(half * total + done, 2 * total, "comparing")

        labels.append(view_labels(context, request, side, progress))
    before, after = labels
    if request.names is not None:
        found, classes = context.run(class_changes, before, after, len(request.names))
        return CompareResult(found, classes, classes_sentence(classes, request.names))
    found, objects = context.run(_objects, before, after, _is_flat(request))
    return CompareResult(found, (objects,), objects_sentence(objects))


def view_labels(
    context: JobContext, request: CompareRequest, side: Side, progress: Callable[[int, int], None]
) -> Labels:
    """Segment the box with one model, in memory; returns labels of the box's shape."""
    options = replace(request.options, three_directions=False)
    predictor = predictor_for(side.checkpoint, request.device, request.precision, options).for_job()
    statistics = side.statistics or predictor.measure(request.source)
    view = request.t, request.box
    return labels_of_view(context, predictor, request.source, statistics, view, request.objects, progress)


def _is_flat(request: CompareRequest) -> bool:
    header = predictor_for(request.after.checkpoint, request.device, request.precision).checkpoint.header
    return header.ndim == 2


def _objects(before: Labels, after: Labels, flat: bool) -> tuple[ChangeMap, Counts]:
    """Compare objects; those of a 2D model plane by plane."""
    if not flat:
        return object_changes(before, after)
    pairs = [object_changes(one, other) for one, other in zip(before, after, strict=True)]
    return np.stack([found for found, _ in pairs]), sum((counts for _, counts in pairs), Counts())
