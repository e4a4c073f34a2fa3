"""Comparing tiles with none: what runs in the worker process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_unet.image.boxes import Box
from napari_unet.image.normalize import Statistics
from napari_unet.image.source import ImageSource
from napari_unet.inference.labels.objects import ObjectSettings
from napari_unet.inference.options import PredictOptions
from napari_unet.jobs import JobContext
from napari_unet.session.tasks import predictor_for

if TYPE_CHECKING:
    from napari_unet.inference.seams import SeamResult


@dataclass(frozen=True)
class SeamRequest:
    """What is looked at, with which model.

    Parameters
    ----------
    checkpoint : str
        File or built-in name.
    source : ImageSource
        The image, by reference.
    statistics : Statistics or None
        Of the whole image; measured when None.
    t : int
        Time point.
    at : Box or None
        Around its centre; the image's when None.
    device, precision : str
        See `napari_unet.inference.predictor.Predictor`.
    objects : ObjectSettings
        How scores become labels.
    options : PredictOptions
        How the model is run.
    """

    checkpoint: str
    source: ImageSource
    statistics: Statistics | None
    t: int
    at: Box | None
    device: str
    precision: str
    objects: ObjectSettings
    options: PredictOptions


def compare_tiles(context: JobContext, request: SeamRequest) -> SeamResult:
    """Predict a crop in tiles and at once, and compare."""
    from napari_unet.inference.seams import check_seams

    context.progress(0, 0, "loading the model")
    predictor = predictor_for(request.checkpoint, request.device, request.precision, request.options)
    result = check_seams(
        predictor,
        request.source,
        request.objects,
        t=request.t,
        at=request.at,
        statistics=request.statistics,
        progress=lambda done, total: context.progress(done, total, "comparing tiles"),
        should_stop=lambda: context.cancelled,
    )
    context.check()
    if result is None:
        raise RuntimeError("a comparison that was not cancelled has a result")
    return result
