"""Job functions that measure: a region before it was corrected, the random regions. None of them selects a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_unet.image.normalize import Statistics, measure
from napari_unet.inference.channels import matched_source
from napari_unet.jobs import JobContext
from napari_unet.learning.scoring import agreement, score_checkpoint
from napari_unet.learning.settings import TrainSettings
from napari_unet.model.header import Output

if TYPE_CHECKING:
    from napari_unet.model.checkpoint import Checkpoint
    from napari_unet.session.training_tasks import KnownImage


@dataclass(frozen=True, eq=False)
class RegionRequest:
    """A prediction, what the user made of it, and where it counts: arrays (Z, Y, X) of one shape."""

    before: npt.NDArray[Any]
    after: npt.NDArray[Any]
    mask: npt.NDArray[np.bool_]
    output: Output


@dataclass(frozen=True, eq=False)
class AuditRequest:
    """A model, and the random regions with their labels, each an image with what is known in that region alone."""

    checkpoint: str
    regions: tuple[KnownImage, ...]
    settings: TrainSettings


def score_region(context: JobContext, request: RegionRequest) -> float:
    """Return the agreement of a prediction with the user's labels, 0 to 1."""
    return agreement(request.after, request.before, request.mask, request.output)


def score_audits(context: JobContext, request: AuditRequest) -> tuple[float | None, ...]:
    """Return the score of a model on each random region, None where nothing is labelled."""
    from napari_unet.model.checkpoint import load_checkpoint

    checkpoint = load_checkpoint(request.checkpoint)
    scores: list[float | None] = []
    measured: dict[str, Statistics] = {}
    for number, region in enumerate(request.regions):
        context.check()
        found = region_scores(checkpoint, [region], request.settings, measured)
        scores.append(float(np.mean(found)) if found else None)
        context.progress(number + 1, len(request.regions), "measuring")
    return tuple(scores)


def region_scores(
    checkpoint: Checkpoint,
    images: Sequence[KnownImage],
    settings: TrainSettings,
    measured: dict[str, Statistics] | None = None,
) -> tuple[float, ...]:
    """Return the score of a model on each crop of some images, by what is known alone.

    Parameters
    ----------
    checkpoint : Checkpoint
        The model.
    images : sequence of KnownImage
        Where to score.
    settings : TrainSettings
        Device and threads.
    measured : dict, optional
        Statistics of images that had none; filled in.
    """
    from napari_unet.session.training_tasks import regions_of

    header, regions = checkpoint.header, []
    measured = {} if measured is None else measured
    for image in images:
        if image.statistics is None and image.image_id not in measured:
            measured[image.image_id] = measure(matched_source(image.source, header)[0], header.normalization)
        regions += regions_of(image.without_screen(), header, image.statistics or measured[image.image_id])
    return score_checkpoint(checkpoint, regions, settings)
