"""Labels of images that do not fit into memory: an OME-Zarr beside the usual TIFFs."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.errors import OutputError
from napari_unet.image.memory import memory_budget
from napari_unet.image.source import ImageSource
from napari_unet.inference.labels.keeping import VOLUME_CHUNK
from napari_unet.inference.labels.objects import ObjectSettings
from napari_unet.inference.large import LargeResult, needs_disk, segment_large
from napari_unet.io.budget import in_words
from napari_unet.io.folders import need_free, put_in_place
from napari_unet.io.omezarr import note_provenance
from napari_unet.jobs import JobContext
from napari_unet.project.pyramid import CHUNK, LabelPyramid

if TYPE_CHECKING:
    from napari_unet.inference.predictor import Predictor

FORMATS = ("auto", "tiff", "ome-zarr")
ZARR_ENDING = "_labels.zarr"
_PARTIAL = "labels.zarr"


@dataclass(frozen=True)
class LargeRequest:
    """One image to segment into an OME-Zarr.

    Parameters
    ----------
    source : ImageSource
        The image.
    target : Path
        The folder to make, ending in ``.zarr``.
    predictor : Predictor
        The model.
    objects : ObjectSettings
        How scores become labels.
    provenance : dict
        JSON values to keep with the labels.
    overwrite : bool
        Replace a folder of that name.
    """

    source: ImageSource
    target: Path
    predictor: Predictor
    objects: ObjectSettings
    provenance: dict[str, Any]
    overwrite: bool


def goes_to_zarr(wanted: str, source: ImageSource, predictor: Predictor) -> bool:
    """Whether an image becomes an OME-Zarr: it is asked for, or it would not fit into memory otherwise.

    Parameters
    ----------
    wanted : {"auto", "tiff", "ome-zarr"}
        What the user asked for.
    source : ImageSource
        The image.
    predictor : Predictor
        The model, with the memory to work with.
    """
    channels = predictor.checkpoint.header.out_channels
    return wanted == "ome-zarr" or (
        wanted == "auto" and needs_disk(source, channels, memory_budget(predictor.options.memory_gb))
    )


def work_folder(target: Path) -> Path:
    """Return the hidden folder beside the target that holds what is finished while the work goes on."""
    return target.with_name(f".{target.stem}.partial")


def found(objects: int | None, there: bool) -> str:
    """Return what was found, as far as it is known without reading the labels again."""
    if there:
        return "measured what was finished before"
    return "segmented" if objects is None else f"{objects} objects"


def note(result: LargeResult, wanted: str, predictor: Predictor) -> str:
    """Return what the user should know about the way an image was segmented, as sentences."""
    said = []
    if wanted == "auto":
        budget = in_words(memory_budget(predictor.options.memory_gb))
        said.append(
            f"Written as OME-Zarr: in memory it would have needed more than the {budget} to work with (--memory)"
        )
    if result.resumed:
        said.append(f"An interrupted run had finished {result.resumed:.0%} of the scores; they were used")
    if "evenly spread" in result.statistics.sample:
        said.append(f"Intensities were measured in {result.statistics.sample}")
    return ". ".join(said)


def segment_to_zarr(
    context: JobContext, request: LargeRequest, check: Callable[[], None] = lambda: None
) -> LargeResult:
    """Segment an image into an OME-Zarr with all its levels; an earlier run that was interrupted is gone on with.

    ::

        out/.NAME_labels.partial/scores.zarr   tile by tile; stays if the run is interrupted
        out/.NAME_labels.partial/labels.zarr   block by block, then renamed to
        out/NAME_labels.zarr

    Parameters
    ----------
    context : JobContext
        For progress and cancellation.
    request : LargeRequest
        What to segment.
    check : callable, optional
        Called before the finished labels are put in place; may raise.

    Raises
    ------
    UserError
        As `segment_large` does, or if the folder cannot be written.
    """
    folder = work_folder(request.target)
    need_free(request.target, request.overwrite)
    predictor = request.predictor.for_job()
    deep = predictor.plan(request.source).flat is False
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"The folder {str(folder)!r} cannot be made: {error.strerror}.", "Choose another folder for --output."
        ) from error
    shutil.rmtree(folder / _PARTIAL, ignore_errors=True)
    pyramid = LabelPyramid(
        folder / _PARTIAL,
        request.source.shape,
        np.uint32,
        request.source.scale_um,
        chunk=VOLUME_CHUNK if deep else (1, CHUNK, CHUNK),
    )
    settings = {name: value for name, value in request.provenance["settings"].items() if name != "objects"}
    result = segment_large(
        predictor,
        request.source,
        request.objects,
        pyramid.write,
        folder,
        {"image_sha256": request.provenance["image_sha256"], "settings": settings},
        budget=memory_budget(request.predictor.options.memory_gb),
        progress=context.progress,
        should_stop=lambda: context.cancelled,
    )
    context.check()
    if result is None:
        raise OutputError("The segmentation was stopped.", "Run the same command again to go on.")
    check()
    note_provenance(folder / _PARTIAL, request.provenance)
    put_in_place(folder / _PARTIAL, request.target, request.overwrite)
    shutil.rmtree(folder, ignore_errors=True)
    return result
