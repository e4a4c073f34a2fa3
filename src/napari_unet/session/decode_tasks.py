"""Decoding kept scores again with other settings: what runs in the worker process, what is in view first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_unet.image.boxes import Box, as_box, extent, grow, inside, overlap, volume
from napari_unet.image.memory import memory_budget
from napari_unet.inference.labels.decoding import Decoding
from napari_unet.inference.labels.keeping import open_scores
from napari_unet.inference.labels.objects import ObjectSettings
from napari_unet.inference.labels.planes import PlaneJoiner
from napari_unet.inference.tiles.tiling import View
from napari_unet.jobs import JobContext
from napari_unet.model.header import Output
from napari_unet.session.frames import LabelBlock

_AROUND = 64  # voxels decoded around what is in view, so that objects at its edge are whole
_WORTH = 4  # a frame this many times larger than its part in view is preceded by that part


@dataclass(frozen=True)
class DecodeRequest:
    """Scores kept by `tasks.segment`, and the frames in it to be decoded with other settings.

    Parameters
    ----------
    scores : str
        File of the scores.
    output : Output
        What the channels mean.
    objects : ObjectSettings
        How scores become labels.
    frames : tuple of (int, Box)
        Time point and box of each frame.
    flat : bool
        A frame is a plane.
    joined : bool
        The objects of neighbouring planes are joined.
    view : (int, Box) or None
        Time point and box on screen: what it shows comes first.
    memory_gb : float or None
        Memory to work with, see `PredictOptions`.
    """

    scores: str
    output: Output
    objects: ObjectSettings
    frames: tuple[tuple[int, Box], ...]
    flat: bool
    joined: bool = False
    view: View | None = None
    memory_gb: float | None = None


def decode_again(context: JobContext, request: DecodeRequest) -> int:
    """Decode kept scores with other settings; returns the largest id.

    Reports `LabelBlock` after `LabelBlock`: where a frame is much larger than its part in view, first that
    part by itself, provisionally; then every frame as a whole, those in view first, or block by block where a
    frame is too large for that.
    """
    scores = open_scores(request.scores)
    memory, folder = memory_budget(request.memory_gb), Path(request.scores).parent
    decoding = Decoding(request.output, request.objects, request.flat, memory, folder)
    frames = in_view_first(request.frames, request.view)
    _decode_view(context, request, decoding, scores, frames)
    join = request.joined and request.flat and decoding.numbered
    if not all(decoding.fits_as_labels(box) for _, box in frames):
        return _decode_blocks(context, request, decoding, scores, join)
    joiner = PlaneJoiner() if join else None
    last = 0
    for n, (t, box) in enumerate(frames):
        context.check()
        labels = decoding.frame(scores, t, box, context.run)
        if joiner is not None:
            labels = joiner.add(box[0].start, labels[0], t)[None]
        elif decoding.numbered:
            labels[labels > 0] += last
        last = max(last, int(labels.max(initial=0)))
        context.report(LabelBlock(t, box, labels, provisional=False))
        context.progress(n + 1, len(frames), "decoding")
    return last


def _decode_view(
    context: JobContext, request: DecodeRequest, decoding: Decoding, scores: Any, frames: Sequence[tuple[int, Box]]
) -> None:
    """Report what the frames show in view, provisionally, where they are much larger than that."""
    for t, box in frames:
        seen = None if request.view is None or request.view[0] != t else overlap(request.view[1], box)
        if seen is None:
            return
        around = grow(inside(seen, box), (0, _AROUND, _AROUND) if request.flat else (_AROUND,) * 3, extent(box))
        corner = [b.start for b in box]
        here = as_box(
            [c + a.start for c, a in zip(corner, around, strict=True)],
            [c + a.stop for c, a in zip(corner, around, strict=True)],
        )
        if _WORTH * volume(here) > volume(box):
            return
        labels = decoding.frame(scores, t, here, context.run)[inside(seen, here)]
        context.report(LabelBlock(t, seen, labels, provisional=True))


def _decode_blocks(context: JobContext, request: DecodeRequest, decoding: Decoding, scores: Any, join: bool) -> int:
    """Report the labels of frames that are too large for the memory block by block; return the largest id."""

    def give(t: int, box: Box, labels: npt.NDArray[np.uint32]) -> None:
        context.report(LabelBlock(t, box, labels, provisional=False))

    def progress(done: int, total: int) -> None:
        context.progress(done, total, "decoding")

    frames = sorted(request.frames, key=lambda frame: (frame[0], frame[1][0].start))
    return decoding.blocks(scores, frames, give, join=join, progress=progress, run=context.run)


def decoded_settings(settings: dict[str, object], objects: ObjectSettings, joined: bool) -> dict[str, object]:
    """Return what labels that were decoded again came from: as before but for what was chosen now."""
    options = settings.get("options")
    kept = {name: value for name, value in settings.items() if name != "seconds"}
    return {
        **kept,
        "objects": asdict(objects),
        "options": {**(options if isinstance(options, dict) else {}), "join_z": joined},
    }


def in_view_first(frames: tuple[tuple[int, Box], ...], view: View | None) -> tuple[tuple[int, Box], ...]:
    """Sort frames by how far they are from what is in view: in time, then in z; equals in order of z.

    Planes then come as a range that grows to both sides, which `PlaneJoiner` joins without renaming.
    """
    if view is None:
        return frames

    def distance(frame: tuple[int, Box]) -> tuple[int, ...]:
        t, box = frame
        gap = max(0, box[0].start - view[1][0].stop + 1, view[1][0].start - box[0].stop + 1)
        return abs(t - view[0]), t, gap, box[0].start

    return tuple(sorted(frames, key=distance))
