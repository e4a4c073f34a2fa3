"""Decoding kept scores again with other settings: what runs in the worker process, what is in view first."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from napari_unet.image.boxes import Box, as_box, extent, grow, inside, overlap, volume
from napari_unet.image.memory import memory_budget
from napari_unet.inference.keeping import open_scores
from napari_unet.inference.objects import ObjectSettings
from napari_unet.inference.planes import PlaneJoiner
from napari_unet.inference.tiling import View
from napari_unet.jobs import JobContext
from napari_unet.model.header import Output
from napari_unet.session.frames import Decoding, LabelBlock

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
    part by itself, provisionally; then every frame as a whole, those in view first.
    """
    scores = open_scores(request.scores)
    decoding = Decoding(request.output, request.objects, request.flat, memory_budget(request.memory_gb))
    objects = request.output.numbered(request.objects.connected)
    joiner = PlaneJoiner() if request.joined and request.flat and objects else None

    def decoded(t: int, box: Box) -> npt.NDArray[np.uint32]:
        return decoding.found(scores, t, box, context.run)

    frames = in_view_first(request.frames, request.view)
    for t, box in frames:
        seen = None if request.view is None or request.view[0] != t else overlap(request.view[1], box)
        if seen is None:
            break
        around = grow(inside(seen, box), (0, _AROUND, _AROUND) if request.flat else (_AROUND,) * 3, extent(box))
        corner = [b.start for b in box]
        here = as_box(
            [c + a.start for c, a in zip(corner, around, strict=True)],
            [c + a.stop for c, a in zip(corner, around, strict=True)],
        )
        if _WORTH * volume(here) > volume(box):
            break
        labels = decoded(t, here)[inside(seen, here)]
        context.report(LabelBlock(t, seen, labels, provisional=True))
    last = 0
    for n, (t, box) in enumerate(frames):
        context.check()
        labels = decoded(t, box)
        if joiner is not None:
            labels = joiner.add(box[0].start, labels[0], t)[None]
        elif objects:
            labels[labels > 0] += last
        last = max(last, int(labels.max(initial=0)))
        context.report(LabelBlock(t, box, labels, provisional=False))
        context.progress(n + 1, len(frames), "decoding")
    return last


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
