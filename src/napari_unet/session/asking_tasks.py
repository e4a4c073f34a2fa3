"""Job functions of the form that asks what a model's file does not say: a preview, and the answers."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_unet.errors import OutputError, UserError
from napari_unet.image.boxes import Box
from napari_unet.image.source import ImageSource
from napari_unet.inference.labels.objects import ObjectSettings
from napari_unet.inference.options import PredictOptions
from napari_unet.jobs import JobContext
from napari_unet.model.header import CheckpointHeader, Output
from napari_unet.session.view_tasks import Labels, labels_of_view

# Colours of objects: neighbours in number differ clearly.
COLORS = ("#e6194b", "#3cb44b", "#ffe119", "#4363d8", "#f58231", "#911eb4", "#46f0f0", "#f032e6", "#bcf60c", "#fabebe")
OPACITY = 0.45

Picture = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class AnswerRequest:
    """A file, what is said about it (see `napari_unet.model.saying`), and where to save it as ours."""

    source: str
    said: dict[str, str]
    target: str
    run_code: str | None = None


@dataclass(frozen=True)
class PreviewRequest:
    """A file with answers, and what of an image is looked at.

    Parameters
    ----------
    model : str
        The file.
    said : dict
        What is said about it, see `napari_unet.model.saying`.
    source : ImageSource
        The image, by reference.
    t, box : int, Box
        Where; the middle plane is shown.
    objects : ObjectSettings
        How scores become labels.
    device : str
        See `napari_unet.inference.predictor.Predictor`.
    run_code : str, optional
        The code in the file that may run, see `napari_unet.model.consent`.
    """

    model: str
    said: dict[str, str]
    source: ImageSource
    t: int
    box: Box
    objects: ObjectSettings = field(default_factory=ObjectSettings)
    device: str = "auto"
    run_code: str | None = None


@dataclass(frozen=True, eq=False)
class Preview:
    """The result on part of an image.

    Parameters
    ----------
    picture : ndarray of uint8 or None
        Shape (Y, X, 3): the image with the labels over it; None if there is none.
    sentence : str
        What was found, or why there is no picture.
    """

    picture: Picture | None
    sentence: str


def answer(context: JobContext, request: AnswerRequest) -> tuple[str, CheckpointHeader, str]:
    """Save a model as its user says it is; return its path, its header, and why the answers were not written."""
    from napari_unet.model.asking import forget_built, open_answered, write_answers

    context.progress(0, 1, "opening")
    checkpoint, answers = open_answered(request.source, request.said, request.run_code)
    checkpoint.save(request.target)
    forget_built()
    try:
        write_answers(Path(request.source), answers)
    except OutputError as error:
        return request.target, checkpoint.header, str(error)
    return request.target, checkpoint.header, ""


def preview(context: JobContext, request: PreviewRequest) -> Preview:
    """Segment part of an image with a model as its user says it is; a problem is the sentence of the result."""
    from napari_unet.inference.predictor import Predictor
    from napari_unet.model.asking import open_answered

    try:
        checkpoint, _ = open_answered(request.model, request.said, request.run_code)
        options = replace(PredictOptions(), three_directions=False)
        predictor = Predictor(checkpoint, request.device, "float32", options=options).for_job()
        context.check()
        statistics = predictor.measure(request.source)
        labels = labels_of_view(
            context, predictor, request.source, statistics, (request.t, request.box), request.objects
        )
    except UserError as error:
        return Preview(None, str(error))
    middle = len(labels) // 2
    plane = request.source.read(request.t, request.box)[:, middle]
    output = checkpoint.header.output
    return Preview(drawn(gray(plane), labels[middle], output, request.objects), told(labels[middle], output))


def gray(plane: npt.NDArray[np.generic]) -> npt.NDArray[np.float32]:
    """Return one plane (C, Y, X) as it is shown, the mean of its channels from 0 to 1."""
    values = np.nan_to_num(np.asarray(plane, np.float32)).mean(axis=0)
    low, high = np.percentile(values, (1, 99.8))
    shown: npt.NDArray[np.float32] = np.clip((values - low) / max(float(high - low), 1e-6), 0, 1)
    return shown


def drawn(shown: npt.NDArray[np.float32], labels: Labels, output: Output, objects: ObjectSettings) -> Picture:
    """Return a picture (Y, X, 3) of a plane with its labels in colour; the background stays as it is."""
    numbered = output.numbered(objects.connected)
    names = COLORS if numbered else tuple(info.color for info in output.classes)
    palette = np.array([[int(name[n : n + 2], 16) for n in (1, 3, 5)] for name in names], np.float32)
    colors = palette[(labels - 1) % len(palette) if numbered else labels]
    picture = np.repeat(255 * shown[..., np.newaxis], 3, axis=-1)
    found = (labels > 0)[..., np.newaxis]
    return np.asarray(np.where(found, (1 - OPACITY) * picture + OPACITY * colors, picture), np.uint8)


def told(labels: Labels, output: Output) -> str:
    """Return what was found on a plane, as a sentence."""
    if not labels.any():
        return "With these answers nothing is found here: all of it is background."
    if output.instances:
        count = len(np.unique(labels)) - (0 in labels)
        return f"{count} {'object' if count == 1 else 'objects'} here."
    shares = np.bincount(labels.ravel().astype(np.int64), minlength=len(output.classes)) / labels.size
    listed = ", ".join(
        f"{info.name} {100 * share:.0f} %" for info, share in zip(output.classes, shares, strict=False) if share
    )
    return f"Here: {listed}."
