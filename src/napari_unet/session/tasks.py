"""Job functions of a session: what runs in the worker process.

Requests are frozen and picklable, images come by reference (`napari_unet.jobs.LazyArray`), and
checkpoints by path: no tensor ever travels between the processes.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_unet.image.boxes import Box, union
from napari_unet.image.cropping import crop_source
from napari_unet.image.normalize import Statistics
from napari_unet.image.source import ImageSource
from napari_unet.inference.objects import ObjectSettings, decode
from napari_unet.inference.options import PredictOptions
from napari_unet.inference.planes import PlaneJoiner
from napari_unet.inference.windowing import Window
from napari_unet.jobs import JobContext
from napari_unet.model.header import Output

if TYPE_CHECKING:
    from napari_unet.inference.predictor import Predictor

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
class LabelBlock:
    """Labels of a box. Objects of a tile are provisional until the whole frame is decoded.

    In the blocks of one segmentation that are not provisional, an id stands for one object.
    """

    t: int
    box: Box
    labels: npt.NDArray[np.uint32]
    provisional: bool


@dataclass(frozen=True)
class SegmentResult:
    """How a segmentation ended: tiles done, seconds, and the (t, box) of every frame done."""

    done: int
    seconds: float
    frames: tuple[tuple[int, Box], ...]


def warm_up(context: JobContext, checkpoint: str | None) -> None:
    """Import what the first real job would have to wait for, load the model, and let it look at something small.

    The first run of a network chooses the machine code of its convolutions, which takes longer than the run.
    """
    import napari_unet.inference.predictor
    import napari_unet.learning.learner  # noqa: F401

    if checkpoint is None:
        return
    predictor = predictor_for(checkpoint, "auto", "auto")
    header = predictor.checkpoint.header
    size, axes = ((256, 256), "CYX") if header.ndim == 2 else ((16, 64, 64), "CZYX")
    context.check()
    predictor.segment(np.random.default_rng(0).random((header.in_channels, *size), np.float32), axes)


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


class _Frames:
    """Collects the scores of one frame after the other and tells when one is complete.

    A frame is what the network sees at once: a plane for a 2D network, a volume for a 3D one.
    """

    def __init__(self, request: SegmentRequest, output: Output, channels: int, flat: bool) -> None:
        self._request, self._output, self._flat = request, output, flat
        self._shape = request.source.shape[1:]
        self._objects = output.instances or (output.kind == "binary" and request.objects.connected)
        self._left: dict[tuple[int, int | None], int] = {}
        self._covered: dict[tuple[int, int | None], Box] = {}
        self._frame: tuple[int, int | None] = (0, None)
        self._last = 0
        # Smoothing sees beyond a tile, as finding objects does.
        self._whole = self._objects or (output.kind == "binary" and request.objects.smooth > 0)
        self._joiner = PlaneJoiner() if flat and self._objects and request.options.join_z else None
        self._scores: npt.NDArray[np.float16] | None = None
        if output.kind != "classes":
            shape = (request.source.n_times, channels, *self._shape)
            self._scores = _score_array(request.scores, shape)

    def add(self, t: int, box: Box, scores: npt.NDArray[np.float32], expected: int) -> LabelBlock:
        """Take one of the `expected` tiles of a frame and return its labels."""
        if self._scores is not None:
            self._scores[t][(slice(None), *box)] = scores
        self._frame = (t, box[0].start if self._flat else None)
        self._left[self._frame] = self._left.get(self._frame, expected) - 1
        self._covered[self._frame] = union(self._covered.get(self._frame, box), box)
        return LabelBlock(t, box, self._decoded(scores), provisional=self._whole)

    @property
    def decodable(self) -> bool:
        """Whether the tile added last has completed a frame that is decoded as a whole."""
        return self._whole and self._left[self._frame] == 0

    def found(self) -> npt.NDArray[np.uint32]:
        """Return the objects of that frame; changes nothing."""
        if self._scores is None:
            raise RuntimeError("objects are found in scores that were kept")
        box = self._covered[self._frame]
        return self._decoded(self._scores[self._frame[0]][(slice(None), *box)].astype(np.float32))

    def numbered(self, labels: npt.NDArray[np.uint32]) -> LabelBlock:
        """Make ids unique over the planes and time points of one segmentation, and join planes."""
        (t, z), box = self._frame, self._covered[self._frame]
        if self._joiner is not None and z is not None:
            return LabelBlock(t, box, self._joiner.add(z, labels[0], t)[None], provisional=False)
        if self._objects:
            labels[labels > 0] += self._last
            self._last = max(self._last, int(labels.max(initial=0)))
        return LabelBlock(t, box, labels, provisional=False)

    def rejoined(self, run: Callable[..., Any]) -> Iterator[LabelBlock]:
        """Give the planes anew, in order, if objects turned out to be one after they had been given."""
        if self._joiner is None or not self._joiner.merged:
            return
        self._joiner = PlaneJoiner()
        for t, box in sorted(self.done, key=lambda frame: (frame[0], frame[1][0].start)):
            self._frame = (t, box[0].start)
            yield self.numbered(run(self.found))

    @property
    def done(self) -> tuple[tuple[int, Box], ...]:
        """The (t, box) of every frame that is complete."""
        return tuple((frame[0], box) for frame, box in self._covered.items() if self._left[frame] == 0)

    def _decoded(self, scores: npt.NDArray[np.float32]) -> npt.NDArray[np.uint32]:
        return decode_frame(scores, self._output, self._request.objects, self._flat)


def decode_frame(
    scores: npt.NDArray[np.float32], output: Output, objects: ObjectSettings, flat: bool
) -> npt.NDArray[np.uint32]:
    """Decode (C, Z, Y, X) scores; a plane of a 2D network is decoded as a plane."""
    if flat and scores.shape[1] == 1:
        return decode(scores[:, 0], output, objects)[None]
    return decode(scores, output, objects)


def _score_array(path: str | None, shape: tuple[int, ...]) -> npt.NDArray[np.float16]:
    if path is None:
        return np.zeros(shape, np.float16)
    array: npt.NDArray[np.float16] = np.lib.format.open_memmap(path, mode="w+", dtype=np.float16, shape=shape)
    return array


def segment(context: JobContext, request: SegmentRequest) -> SegmentResult:
    """Segment an image tile by tile; reports `Prepared`, then `LabelBlock` after `LabelBlock`."""
    start = time.perf_counter()
    context.progress(0, 0, "loading the model")
    predictor = predictor_for(request.checkpoint, request.device, request.precision, request.options)
    header = predictor.checkpoint.header
    window = request.window
    what: dict[str, Any] = {"view": request.view, "times": request.times, "only_view": request.only_view}
    what |= window.options if window is not None else {}
    plan = predictor.plan(request.source, **what)
    if window is not None:
        plan = window.plan(plan)
    in_frame = Counter((tile.t, tile.z) for tile in plan.tiles)
    statistics = request.statistics or predictor.measure(request.source)
    context.check()
    stream = predictor.stream(
        request.source, statistics, should_stop=lambda: context.cancelled, steer=lambda: context.steered, **what
    )
    if window is not None:
        stream = map(window.scores, stream)
        request = replace(request, source=crop_source(request.source, window.t, window.box))
    context.report(Prepared(statistics, (predictor.sentence, *predictor.notes)))
    frames = _Frames(request, header.output, header.out_channels, plan.flat)
    done = 0
    for scores in stream:
        tile, done = scores.tile, scores.done
        context.report(frames.add(tile.t, tile.inner, scores.scores, in_frame[tile.t, tile.z]))
        if frames.decodable:
            context.report(frames.numbered(context.run(frames.found)))
        context.progress(done, scores.total, "segmenting")
    context.check()
    for block in frames.rejoined(context.run):
        context.report(block)
    return SegmentResult(done, time.perf_counter() - start, frames.done)
