"""`napari-unet seams`: whether the tiles of a prediction show."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_unet.cli import console, inputs
from napari_unet.cli.options import (
    OBJECTS,
    OPTIONS,
    add_device_options,
    add_image_options,
    add_memory_option,
    add_settings,
    settings_from,
)
from napari_unet.image.source import ImageSource
from napari_unet.inference.labels.objects import ObjectSettings
from napari_unet.inference.options import PredictOptions
from napari_unet.jobs import JobContext

if TYPE_CHECKING:
    from napari_unet.inference.predictor import Predictor
    from napari_unet.inference.seams import SeamResult


def configure(parser: argparse.ArgumentParser, name: str) -> None:
    """Declare the arguments."""
    parser.set_defaults(run=run)
    parser.add_argument("image", metavar="IN", help="One file: TIFF, PNG, JPEG or OME-Zarr.")
    parser.add_argument("-m", "--model", required=True, help="A built-in name or a checkpoint file.")
    parser.add_argument("--time", type=int, default=0, help="Time point, from 0. Default: 0.")
    add_image_options(parser)
    add_settings(parser, ObjectSettings, OBJECTS, "objects")
    add_settings(parser, PredictOptions, OPTIONS, "running the model")
    add_memory_option(parser)
    add_device_options(parser)


@dataclass(frozen=True)
class SeamRequest:
    """What is looked at."""

    predictor: Predictor
    source: ImageSource
    objects: ObjectSettings
    t: int


def run(arguments: argparse.Namespace) -> int:
    """Compare tiles with none; returns the exit code, 1 if they differ by more than they may."""
    (path,) = inputs.find_images([arguments.image])
    source = inputs.open_source(path, arguments.axes, arguments.channels, arguments.scale)
    objects, options = settings_from(arguments, ObjectSettings), settings_from(arguments, PredictOptions)

    from napari_unet.session.tasks import predictor_for

    predictor = predictor_for(arguments.model, arguments.device, arguments.precision, options)
    console.note(predictor.sentence)
    result = console.run_job(compare_tiles, SeamRequest(predictor, source, objects, arguments.time))
    for note in predictor.notes:
        console.note(note)
    console.say(result.sentence)
    return console.DONE if result.fine else console.SOME_FAILED


def compare_tiles(context: JobContext, request: SeamRequest) -> SeamResult | None:
    """Compare."""
    from napari_unet.inference.seams import check_seams

    return check_seams(
        request.predictor,
        request.source,
        request.objects,
        t=request.t,
        progress=context.progress,
        should_stop=lambda: context.cancelled,
    )
