"""Job functions of a session: what runs in the worker process.

Requests are frozen and picklable, images come by reference (`napari_unet.jobs.LazyArray`), and
checkpoints by path: no tensor ever travels between the processes.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.image.boxes import Box
from napari_unet.image.cropping import crop_source
from napari_unet.image.memory import memory_budget
from napari_unet.image.normalize import Statistics
from napari_unet.image.source import ImageSource
from napari_unet.inference.labels.decoding import Decoding
from napari_unet.inference.labels.keeping import sample_of
from napari_unet.inference.labels.objects import ObjectSettings
from napari_unet.inference.large import score_key
from napari_unet.inference.options import PredictOptions
from napari_unet.inference.tiles.windowing import Window
from napari_unet.jobs import JobContext
from napari_unet.session.frames import LabelBlock, ScoreFrames

if TYPE_CHECKING:
    from napari_unet.inference.predictor import Predictor
    from napari_unet.inference.tiles.tiling import TilePlan

__all__ = ["LabelBlock", "Prepared", "SegmentRequest", "SegmentResult", "segment"]

CHUNK = 256  # edge of what is sent, and written into the layer, at once


@dataclass(frozen=True)
class SegmentRequest:
    """What to segment, with which model, and in which order.

    Parameters
    ----------
    checkpoint : str
        File or built-in name.
    source : ImageSource
        The image, by reference.
    statistics : Statistics or None
        Of the whole image; measured when None.
    times : tuple of int
        Time points, in order.
    view : (int, Box) or None
        Time point and box on screen: their tiles come first.
    only_view : bool
        Leave the rest out.
    device, precision : str
        See `napari_unet.inference.predictor.Predictor`.
    objects : ObjectSettings
        How scores become labels.
    scores : str or None
        Where to keep the scores, so that `decode_again` needs no network.
    options : PredictOptions
        How the model is run over the image.
    window : Window or None
        Only this part of the image is wanted, and blocks are in its coordinates; `view`, `times` and
        `only_view` are not looked at.
    """

    checkpoint: str
    source: ImageSource
    statistics: Statistics | None = None
    times: tuple[int, ...] = (0,)
    view: tuple[int, Box] | None = None
    only_view: bool = False
    device: str = "auto"
    precision: str = "auto"
    objects: ObjectSettings = field(default_factory=ObjectSettings)
    scores: str | None = None
    options: PredictOptions = field(default_factory=PredictOptions)
    window: Window | None = None


@dataclass(frozen=True)
class Prepared:
    """Sent before the first tile: statistics, and sentences about the device and the channels."""

    statistics: Statistics
    notes: tuple[str, ...]


@dataclass(frozen=True)
class SegmentResult:
    """How a segmentation ended: tiles done, seconds, the (t, box) of every frame done, whether anything was found."""

    done: int
    seconds: float
    frames: tuple[tuple[int, Box], ...]
    found: bool


def warm_up(context: JobContext, checkpoint: str | None) -> None:
    """Import what the first real job would have to wait for, load the model, and let it look at something small.

    The first run of a network chooses the machine code of its convolutions, which takes longer than the run.
    """
    import napari_unet.inference.predictor  # noqa: F401

    if checkpoint is None:
        return
    predictor = predictor_for(checkpoint, "auto", "auto")
    header = predictor.checkpoint.header
    size, axes = ((256, 256), "CYX") if header.ndim == 2 else ((16, 64, 64), "CZYX")
    context.check()
    predictor.segment(np.random.default_rng(0).random((header.in_channels, *size), np.float32), axes)


def warm_up_training(context: JobContext) -> None:
    """Import what the first round of training would have to wait for."""
    import napari_unet.learning.learner  # noqa: F401
    from napari_unet.learning.quick import warm_optimizer

    warm_optimizer()


@lru_cache(maxsize=2)
def _predictor(checkpoint: str, modified: float, device: str, precision: str) -> Predictor:
    from napari_unet.inference.predictor import Predictor
    from napari_unet.model.checkpoint import load_checkpoint

    return Predictor(load_checkpoint(checkpoint), device=device, precision=precision)


def predictor_for(checkpoint: str, device: str, precision: str, options: PredictOptions | None = None) -> Predictor:
    """Return a predictor; the last two networks are kept, since the same model runs many times."""
    path = Path(checkpoint)
    kept = _predictor(checkpoint, path.stat().st_mtime if path.is_file() else 0.0, device, precision)
    return kept.with_options(options or PredictOptions())


def segment(context: JobContext, request: SegmentRequest) -> SegmentResult:
    """Segment an image tile by tile; reports `Prepared`, then `LabelBlock` after `LabelBlock`."""
    start = time.perf_counter()
    context.progress(0, 0, "loading the model")
    predictor = predictor_for(request.checkpoint, request.device, request.precision, request.options).for_job()
    window = request.window
    what: dict[str, Any] = {"view": request.view, "times": request.times, "only_view": request.only_view}
    what |= window.options if window is not None else {}
    statistics = request.statistics or predictor.measure(request.source)
    predictor.sizes.of(predictor, request.source, statistics, context.check)
    plan = predictor.plan(request.source, **what)
    context.check()
    cut = plan if window is None else window.plan(plan)
    wanted = request.source if window is None else crop_source(request.source, window.t, window.box)
    frames = _frames(request, predictor, plan, cut, wanted, statistics)
    found = False

    def give(block: LabelBlock) -> None:
        nonlocal found
        found = found or (not block.provisional and bool(block.labels.any()))
        context.report(block)

    try:
        stream = predictor.stream(
            request.source,
            statistics,
            should_stop=lambda: context.cancelled,
            steer=lambda: context.steered,
            finished=lambda tile: frames.finished(tile if window is None else window.tile(tile)),
            **what,
        )
        if window is not None:
            stream = map(window.scores, stream)
        context.report(Prepared(statistics, (predictor.sentence, *predictor.notes)))
        total = len(cut.tiles)
        before = [tile for tile in cut.tiles if frames.finished(tile)]
        for n, tile in enumerate(before):
            context.check()
            context.progress(n, total, "going on")
            give(frames.again(tile))
            frames.complete(tile, context.run, give)
        done = len(before)
        for one in stream:
            done += 1
            block = frames.add(one.tile, one.scores)
            give(block)
            if one.complete:
                frames.keep(one.tile, one.scores, block)
                frames.complete(one.tile, context.run, give)
            context.progress(done, total, "segmenting")
        context.check()
        frames.rest(context.run, give)
        return SegmentResult(done, time.perf_counter() - start, frames.done, found)
    finally:
        frames.close()


def _frames(
    request: SegmentRequest,
    predictor: Predictor,
    plan: TilePlan,
    cut: TilePlan,
    wanted: ImageSource,
    statistics: Statistics,
) -> ScoreFrames:
    """Return what takes the scores of a segmentation; it goes on with those of an earlier one of the same."""
    header = predictor.checkpoint.header
    place = request.window
    window = None if place is None else [place.t, *((span.start, span.stop) for span in place.box)]

    def key() -> dict[str, Any]:
        sample = sample_of(request.source)
        part = request.view if request.only_view else None
        return {**score_key(predictor, statistics, plan, part), "image": sample, "window": window}

    memory = memory_budget(request.options.memory_gb)
    folder = None if request.scores is None else Path(request.scores).parent
    decoding = Decoding(header.output, request.objects, plan.flat, memory, folder)
    shape = (wanted.n_times, header.out_channels, *wanted.shape[1:])
    return ScoreFrames(decoding, cut, shape, request.scores, key, request.options.join_z)
