"""Segmenting an image whose labels or scores do not fit into memory: tile by tile, then block by block.

::

    image ── tiles ──► scores on the disk ── blocks ──► labels, written by the caller

What is held at a time is one tile and one block, whatever the size of the image. An interrupted run goes on
from the tiles that are finished.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_unet.image.boxes import Box, whole
from napari_unet.image.memory import give_back
from napari_unet.image.normalize import Statistics
from napari_unet.image.source import ImageSource
from napari_unet.inference.labels.blocks import BlockPlan, Region, block_size
from napari_unet.inference.labels.decoding import Decoding
from napari_unet.inference.labels.keeping import ScoreStore, chunk_of
from napari_unet.inference.labels.objects import ObjectSettings, decode
from napari_unet.inference.labels.stitching import Labels, Run, call

if TYPE_CHECKING:
    from napari_unet.inference.predictor import Predictor
    from napari_unet.inference.tiles.tiling import TilePlan

Write = Callable[[int, Box, Labels], None]
Progress = Callable[[int, int], None]

_SMALL = 64  # scores of up to this part of it are mapped into memory


@dataclass(frozen=True)
class LargeResult:
    """How it went.

    Parameters
    ----------
    objects : int or None
        How many were found; None for models without objects.
    resumed : float
        Which part of the image an earlier run had finished, 0 to 1.
    statistics : Statistics
        Of the image.
    """

    objects: int | None
    resumed: float
    statistics: Statistics


def segment_large(
    predictor: Predictor,
    source: ImageSource,
    settings: ObjectSettings,
    write: Write,
    folder: Path,
    key: Mapping[str, Any],
    *,
    budget: int,
    statistics: Statistics | None = None,
    progress: Progress | None = None,
    should_stop: Callable[[], bool] | None = None,
    run: Run = call,
) -> LargeResult | None:
    """Segment an image of any size.

    Parameters
    ----------
    predictor : Predictor
        What computes.
    source : ImageSource
        The image; read tile by tile.
    settings : ObjectSettings
        How scores become labels.
    write : callable
        Gets (t, (z, y, x) box, labels of uint32) for each block, every voxel of the image once. Objects are
        numbered from 1 in the raster order of their first voxel; planes of a 2D model are joined. Boxes begin on
        multiples of `block_size`.
    folder : Path
        An existing folder for scores and temporary arrays. After an interruption the next run finds there
        what is finished.
    key : mapping
        JSON values that name the image: scores are gone on with if they come from the same image, model and options.
    budget : int
        Bytes of memory to work with.
    statistics : Statistics, optional
        Of the whole image; measured when omitted.
    progress : callable, optional
        Called with (done, total) steps.
    should_stop : callable, optional
        Asked before each tile and each layer.
    run : callable
        Calls long functions; may raise to stop.

    Returns
    -------
    LargeResult or None
        None if it was stopped.

    Raises
    ------
    UserError
        As `Predictor.stream` does; if there are too many objects; if the disk is full.
    """
    header = predictor.checkpoint.header
    output = header.output
    predictor = predictor.for_job()
    plan = predictor.plan(source)
    statistics = statistics or predictor.measure(source)
    decoding = Decoding(output, settings, plan.flat, budget, fresh(folder / "joining"))
    # Classes and masks are decided voxel by voxel, and take less space than scores, unless these are smoothed first.
    kept = decoding.beyond_a_voxel
    shape = (source.n_times, header.out_channels if kept else 1, *source.shape[1:])
    store = ScoreStore(
        folder / "scores.npy",
        shape,
        {**score_key(predictor, statistics, plan), **key, "threshold": None if kept else settings.threshold},
        chunk=chunk_of(plan.step, plan.flat),
        dtype=np.float16 if kept else np.uint16,
        limit=budget // _SMALL,
    )
    resumed = store.finished_voxels / prod(source.shape)
    stream = predictor.stream(
        source, statistics, should_stop=should_stop, finished=lambda tile: store.finished(tile.t, tile.inner)
    )
    frames = frames_of(source, plan.flat)
    core, _ = block_size(source.shape[1:], plan.flat, budget)
    blocks = len(BlockPlan(frames, core, (0, 0, 0)).blocks)
    tiles = 0
    for one in stream:
        if not one.complete:
            continue
        scores: npt.NDArray[Any] = one.scores if kept else decode(one.scores, output, settings)[None]
        store.put(one.tile.t, one.tile.inner, scores)
        tiles = one.total
        if progress is not None:
            progress(one.done, one.total + blocks)
    if should_stop is not None and should_stop():
        return None
    give_back()  # what the network has worked with

    def step(done: int, total: int) -> None:
        if progress is not None:
            progress(tiles + done * blocks // total, tiles + blocks)

    if not kept:
        for n, block in enumerate(BlockPlan(frames, core, (0, 0, 0)).blocks):
            write(block.t, block.core, np.asarray(store.array[(block.t, 0, *block.core)], np.uint32))
            step(n + 1, blocks)
        return LargeResult(None, resumed, statistics)
    join = plan.flat and predictor.options.join_z and source.shape[1] > 1
    count = decoding.blocks(store.array, frames, write, join=join, progress=step, run=run)
    return LargeResult(count if decoding.numbered else None, resumed, statistics)


def score_key(
    predictor: Predictor, statistics: Statistics, plan: TilePlan, part: tuple[int, Box] | None = None
) -> dict[str, Any]:
    """Return what scores depend on beside the image, as JSON values; `part` if only its tiles are computed."""
    alone = None if plan.exact or part is None else [part[0], *((span.start, span.stop) for span in part[1])]
    options = {name: value for name, value in asdict(predictor.options).items() if name not in ("memory_gb", "join_z")}
    return {
        "model": predictor.checkpoint.header.weights_hash,
        "options": options,
        # As asked for: what ran out of memory on a GPU goes on, on the CPU, in what that is quick in.
        "precision": predictor.asked_precision,
        "offset": statistics.offset,
        "scale": statistics.scale,
        # Where tiles are blended, their size shows in the scores.
        "step": None if plan.exact else plan.step,
        # And at the edge of a part the neighbours are missing.
        "part": alone,
    }


def frames_of(source: ImageSource, flat: bool) -> list[Region]:
    """Return what is decoded as a whole: every time point, or every plane of it."""
    times, depth, height, width = source.shape
    if not flat:
        return [(t, whole((depth, height, width))) for t in range(times)]
    return [(t, (slice(z, z + 1), slice(0, height), slice(0, width))) for t in range(times) for z in range(depth)]


def fresh(folder: Path) -> Path:
    """Return an empty folder."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def needs_disk(source: ImageSource, channels: int, budget: int) -> bool:
    """Whether labels, or the scores of what is decoded as a whole, are larger than the memory to work with."""
    voxels = prod(source.shape)
    return 4 * voxels > budget or 4 * channels * voxels > budget
