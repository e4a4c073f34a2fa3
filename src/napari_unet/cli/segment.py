"""`napari-unet segment`: a model over many images, as it may run over night."""

from __future__ import annotations

import argparse
import json
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet import __version__
from napari_unet.cli import console, inputs, large, outputs, said
from napari_unet.cli.options import (
    OBJECTS,
    OPTIONS,
    add_device_options,
    add_image_options,
    add_memory_option,
    add_settings,
    settings_from,
)
from napari_unet.errors import ImageError, OutputError
from napari_unet.image.axes import label_axes
from napari_unet.image.source import ImageSource
from napari_unet.inference.labels.objects import ObjectSettings
from napari_unet.inference.options import PredictOptions
from napari_unet.io.images import open_image
from napari_unet.io.labels import read_labels, write_labels
from napari_unet.io.tables import measure_objects, write_table
from napari_unet.jobs import JobContext, JobRunner, JobState, Progress

if TYPE_CHECKING:
    from rich.progress import TaskID

    from napari_unet.inference.predictor import Predictor
    from napari_unet.model.header import CheckpointHeader


def configure(parser: argparse.ArgumentParser, name: str) -> None:
    """Declare the arguments."""
    parser.set_defaults(run=run)
    parser.add_argument("images", nargs="+", metavar="IN", help="Files, folders, patterns; TIFF, PNG, JPEG, OME-Zarr.")
    parser.add_argument("-m", "--model", required=True, help="A built-in name or a checkpoint file.")
    parser.add_argument("-o", "--output", required=True, metavar="DIR", help="Folder for NAME_labels.tif.")
    parser.add_argument(
        "--format",
        choices=large.FORMATS,
        default="auto",
        help="tiff, or ome-zarr: NAME_labels.zarr, a pyramid that is written block by block. By default a TIFF, and an "
        "OME-Zarr where labels or scores would need more than the memory to work with.",
    )
    parser.add_argument("--table", action="store_true", help="Also measure the objects, as NAME_objects.csv.")
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="Replace outputs. Without it, those made by the same model with the same settings from the same "
        "image are skipped, and others are left alone, as failures.",
    )
    add_image_options(parser)
    add_settings(parser, ObjectSettings, OBJECTS, "objects")
    add_settings(parser, PredictOptions, OPTIONS, "running the model")
    add_device_options(parser)
    add_memory_option(parser)


@dataclass(frozen=True)
class FileRequest:
    """One image to segment, and everything that decides the result."""

    image: Path
    target: Path
    predictor: Predictor
    objects: ObjectSettings
    axes: str | None
    channels: str | None
    scale: str | None
    precision: str
    table: bool
    overwrite: bool
    options: PredictOptions = field(default_factory=PredictOptions)
    format: str = "auto"


@dataclass(frozen=True)
class FileResult:
    """How an image ended."""

    skipped: bool
    text: str


def run(arguments: argparse.Namespace) -> int:
    """Segment the images; returns the exit code."""
    objects = settings_from(arguments, ObjectSettings)
    images = inputs.find_images(arguments.images)
    folder = outputs.ready_folder(arguments.output)
    plan = outputs.plan_outputs(images, folder, "_labels.tif", (large.ZARR_ENDING,))

    from napari_unet.session.tasks import predictor_for

    options = settings_from(arguments, PredictOptions)
    predictor = predictor_for(arguments.model, arguments.device, arguments.precision, options)
    console.note(predictor.sentence)
    told = (arguments.axes, arguments.channels, arguments.scale, arguments.precision)
    requests = [
        FileRequest(
            image, target, predictor, objects, *told, arguments.table, arguments.overwrite, options, arguments.format
        )
        for image, target in plan
    ]
    with _terminable():
        return _run_all(requests, folder)


def _run_all(requests: list[FileRequest], folder: Path) -> int:
    runner = JobRunner("inline")
    done, skipped, failed = 0, 0, 0
    with console.progress_bars() as bars:
        all_files = bars.add_task("images", total=len(requests), note="")
        one_file = bars.add_task("tiles", total=None, note="")
        for number, request in enumerate(requests, start=1):
            bars.reset(one_file, total=None, note=request.image.name)

            def show(progress: Progress, task: TaskID = one_file) -> None:
                bars.update(task, completed=progress.done, total=progress.total or None)

            job = runner.submit(segment_file, request, on_progress=show)
            which = f"{number}/{len(requests)} {request.image}"
            if job.state is JobState.DONE:
                done, skipped = done + (not job.result.skipped), skipped + job.result.skipped
                console.note(f"{which}: {job.result.text}", bars.console)
            else:
                failed += 1
                console.error(f"{which}: {said.sentence(job.error) if job.error else 'stopped'}", bars.console)
            bars.advance(all_files)
    console.say(f"{done} segmented, {skipped} skipped, {failed} failed; the results are in {folder}.")
    return console.SOME_FAILED if failed else console.DONE


def segment_file(context: JobContext, request: FileRequest) -> FileResult:
    """Segment one image and write its labels and table, or find that they are there."""
    start = time.perf_counter()
    source = inputs.open_source(request.image, request.axes, request.channels, request.scale)
    header = request.predictor.checkpoint.header
    provenance = provenance_of(request, source, header)
    table = request.target.with_name(f"{inputs.stem(request.image)}_objects.csv")
    target, there = _target(request, source, provenance)
    if there and (table.exists() or not request.table):
        return FileResult(True, "skipped: finished before")
    if request.table and table.exists() and not request.overwrite:
        raise OutputError(f"The table {str(table)!r} is in the way.", "Add --overwrite to replace it.")
    objects, notes = None, ""
    if not there and target != request.target:
        objects, notes = _written_to_zarr(context, request, source, target, provenance)
    if target == request.target:
        labels, axes = _in_memory(context, request, source, provenance) if not there else read_labels(target)[:2]
    else:
        labels, axes = open_image(target).data, "TZYX"
    if request.table:
        trained = source.name in header.provenance.get("images", ())
        columns = measure_objects(
            labels,
            axes,
            source,
            model_hash=header.weights_hash,
            settings=json.dumps(provenance["settings"], sort_keys=True),
            in_training=trained,
            edited=np.broadcast_to(np.False_, labels.shape),
        )
        write_table(table, columns, overwrite=request.overwrite)
    found = _found(labels, header, request) if target == request.target else large.found(objects, there)
    seconds = time.perf_counter() - start
    return FileResult(
        False,
        f"{found}, {seconds:.1f} s" + "".join(f". {n.rstrip('.')}" for n in (*request.predictor.notes, notes) if n),
    )


def _target(request: FileRequest, source: ImageSource, provenance: dict[str, Any]) -> tuple[Path, bool]:
    """Return where the labels go, a TIFF or an OME-Zarr, and whether they are there already."""
    pyramid = request.target.with_name(inputs.stem(request.image) + large.ZARR_ENDING)
    zarr = large.goes_to_zarr(request.format, source, request.predictor)
    target, other = (pyramid, request.target) if zarr else (request.target, pyramid)
    if request.overwrite:
        return target, False
    # How much memory is free decides, and may have decided otherwise in an earlier run.
    if request.format == "auto" and other.exists() and not target.exists() and outputs.is_finished(other, provenance):
        return other, True
    return target, outputs.is_finished(target, provenance)


def _in_memory(
    context: JobContext, request: FileRequest, source: ImageSource, provenance: dict[str, Any]
) -> tuple[Any, str]:
    """Segment an image, write a TIFF, and return the labels and their axes."""
    before = outputs.stamp(request.image)
    labels = request.predictor.segment(source, settings=request.objects, progress=context.progress)
    _need_unchanged(request, before)
    outputs.ready_folder(request.target.parent)
    axes = label_axes(source.axes)
    write_labels(
        request.target,
        labels,
        axes,
        source.scale,
        source.units,
        provenance,
        overwrite=request.overwrite,
        protected=(request.image,),
    )
    return labels, axes


def _written_to_zarr(
    context: JobContext, request: FileRequest, source: ImageSource, target: Path, provenance: dict[str, Any]
) -> tuple[int | None, str]:
    """Segment an image into an OME-Zarr; return how many objects there are, and what is to be said."""
    before = outputs.stamp(request.image)
    outputs.ready_folder(target.parent)
    result = large.segment_to_zarr(
        context,
        large.LargeRequest(source, target, request.predictor, request.objects, provenance, request.overwrite),
        lambda: _need_unchanged(request, before),
    )
    return result.objects, large.note(result, request.format, request.predictor)


def _need_unchanged(request: FileRequest, before: object) -> None:
    if outputs.stamp(request.image) != before:
        raise ImageError("The image changed while it was segmented.", "Segment it again.")


def provenance_of(request: FileRequest, source: ImageSource, header: CheckpointHeader) -> dict[str, Any]:
    """Return what the labels come from, as JSON values."""
    ndim = request.options.object_ndim(header.ndim, source.shape[1])
    return {
        "program": f"napari-unet {__version__}",
        "image": str(request.image),
        "image_sha256": outputs.fingerprint(request.image),
        "model": header.name,
        "model_hash": header.weights_hash,
        "classes": [info.name for info in header.output.classes],
        "settings": {
            "objects": asdict(request.objects.settled(ndim)),
            "options": _decisive(request.options),
            "axes": source.axes,
            "channels": source.channels,
            "scale": source.scale,
            "precision": request.precision,
        },
    }


def _decisive(options: PredictOptions) -> dict[str, Any]:
    """Return the options that change the labels; how much memory there was does not."""
    return {name: value for name, value in asdict(options).items() if name != "memory_gb"}


def _found(labels: Any, header: CheckpointHeader, request: FileRequest) -> str:
    if header.output.numbered(request.objects.connected):
        return f"{np.unique(labels[labels > 0]).size} objects"
    return f"{np.count_nonzero(labels) / labels.size:.1%} of the image is not background"


@contextmanager
def _terminable() -> Iterator[None]:
    """Let a batch system's SIGTERM end the work as Ctrl-C does: nothing half-written remains."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
