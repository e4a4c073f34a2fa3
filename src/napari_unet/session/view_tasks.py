"""The labels of what is on screen, made in memory and beside those of the session; part of several jobs."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_unet.image.boxes import Box, extent, inside, union
from napari_unet.image.normalize import Statistics
from napari_unet.image.source import ImageSource
from napari_unet.inference.labels.decoding import Decoding
from napari_unet.inference.labels.objects import ObjectSettings
from napari_unet.jobs import JobContext
from napari_unet.model.header import Output

if TYPE_CHECKING:
    from napari_unet.inference.predictor import Predictor

Labels = npt.NDArray[np.uint32]


def labels_of_view(
    context: JobContext,
    predictor: Predictor,
    source: ImageSource,
    statistics: Statistics,
    view: tuple[int, Box],
    objects: ObjectSettings,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Labels:
    """Segment a box with a model.

    Parameters
    ----------
    context : JobContext
        Whether to stop.
    predictor : Predictor
        The model.
    source : ImageSource
        The whole image: the box has its real neighbours.
    statistics : Statistics
        Of the image.
    view : (int, Box)
        Time point, and (z, y, x) box.
    objects : ObjectSettings
        How scores become labels.
    progress : callable
        Gets how many tiles are done, and how many there are.

    Returns
    -------
    ndarray of uint32
        Of the box's shape; a 2D model's objects are numbered plane by plane.
    """
    t, box = view
    tiles = predictor.plan(source, view=view, times=(t,), only_view=True).tiles
    around = reduce(union, (tile.inner for tile in tiles), box)
    header = predictor.checkpoint.header
    scores = np.zeros((header.out_channels, *extent(around)), np.float32)
    for part in predictor.stream(
        source, statistics, view=view, times=(t,), only_view=True, should_stop=lambda: context.cancelled
    ):
        scores[(slice(None), *inside(part.tile.inner, around))] = part.scores
        progress(part.done, part.total)
    context.check()
    here = inside(box, around)
    if header.ndim == 3:
        return _decoded(context, scores, objects, header.output, False)[here]
    planes = [
        _decoded(context, scores[:, z : z + 1], objects, header.output, True)
        for z in range(here[0].start, here[0].stop)
    ]
    return np.concatenate(planes)[:, here[1], here[2]]


def _decoded(
    context: JobContext, scores: npt.NDArray[np.float32], objects: ObjectSettings, output: Output, flat: bool
) -> Labels:
    labels: Labels = context.run(Decoding(output, objects, flat, 0).decode, scores)
    return labels
