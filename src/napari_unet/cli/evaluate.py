"""`napari-unet evaluate`: how well a model, or given label images, agree with the truth."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_unet.cli import console, inputs, said
from napari_unet.cli.mistakes import write_mistakes
from napari_unet.cli.options import OBJECTS, OPTIONS, add_device_options, add_image_options, add_settings, settings_from
from napari_unet.cli.outputs import ready_folder
from napari_unet.errors import UserError
from napari_unet.image.axes import canonical_view, label_axes
from napari_unet.image.source import ImageSource
from napari_unet.inference.labels.objects import ObjectSettings
from napari_unet.inference.options import PredictOptions
from napari_unet.io.atomic import check_target
from napari_unet.io.labels import labels_for_image, read_labels
from napari_unet.io.tables import write_table
from napari_unet.jobs import JobRunner, JobState
from napari_unet.learning.evaluation import class_scores, object_scores
from napari_unet.learning.evaluation.boundaries import TOLERANCE

Row = dict[str, float]
Labels = npt.NDArray[Any]
COUNTED = ("objects", "found", "missed", "invented", "split", "merged")
SHOWN = ("dice", "f1", "ap_50", "ap", "pq", "boundary_f1", "vi_split", "vi_merge", "rand_error", *COUNTED)
SHOWN_OF_CLASSES = ("dice", "iou", "mean_dice", "mean_iou", "boundary_f1", "dice_class_", "boundary_f1_class_")
MEANING = (
    "dice and iou compare the foreground; f1 and ap_50 = TP / (TP + FP + FN) count objects that match at IoU ≥ 0.5, ap "
    "is the mean of ap_50 to ap_95, pq the panoptic quality. vi_split and vi_merge are bits and 0 at best, rand_error "
    "is the adapted Rand error. An image without objects on either side scores 1. The mean is over images. "
    "Sources of the definitions: docs/method.md."
)


@dataclass(frozen=True)
class Case:
    """One image: the truth, what is compared with it (labels, or an image to segment), and what errors are drawn on."""

    truth: Path
    given: Path
    image: Path | None

    @property
    def name(self) -> str:
        """The name of the row."""
        return self.given.name


@dataclass(frozen=True, eq=False)
class Compared:
    """Truth and labels (T, Z, Y, X), voxel size along Z, Y, X if known, and the image if there is one."""

    truth: Labels
    labels: Labels
    spacing: Sequence[float] | None
    source: ImageSource | None


Loader = Callable[[Case], Compared]


def configure(parser: argparse.ArgumentParser, name: str) -> None:
    """Declare the arguments."""
    parser.set_defaults(run=run)
    parser.epilog = MEANING
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("-m", "--model", help="A built-in name or a checkpoint file; needs --images.")
    what.add_argument("--predictions", nargs="+", metavar="P", help="Label images, of the same names as the truth.")
    parser.add_argument("--images", nargs="+", metavar="I", help="Images for --model, or to draw --pictures on.")
    parser.add_argument("--labels", nargs="+", required=True, metavar="L", help="The truth, of the same names.")
    parser.add_argument("--classes", action="store_true", help="Label values are classes, not objects (--predictions).")
    parser.add_argument(
        "--tolerance",
        type=float,
        default=TOLERANCE,
        help="How far boundaries may lie apart for boundary_f1, in pixels along x. Default: %(default)g.",
    )
    parser.add_argument("-o", "--output", metavar="CSV", help="Also write all scores of every image as CSV.")
    parser.add_argument("--pictures", metavar="FOLDER", help="Draw what is wrong in every image, NAME_errors.png.")
    parser.add_argument("--overwrite", action="store_true", help="Replace the CSV.")
    add_image_options(parser)
    add_settings(parser, ObjectSettings, OBJECTS, "objects")
    add_settings(parser, PredictOptions, OPTIONS, "running the model")
    add_device_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Score every image; returns the exit code."""
    objects = settings_from(arguments, ObjectSettings)
    if arguments.output is not None:
        check_target(arguments.output, overwrite=arguments.overwrite)
    if not arguments.tolerance >= 0:
        raise UserError(f"The tolerance is {arguments.tolerance:g}; expected 0 or more pixels.", "Leave it out for 2.")
    cases = _cases(arguments)
    if arguments.model is None:
        load, n_classes = _of_files(arguments), 2 if arguments.classes else 0
    else:
        load, n_classes = _of_model(arguments, objects)
    pictures = None if arguments.pictures is None else ready_folder(arguments.pictures)
    rows: dict[str, Row] = {}
    failed = 0
    with console.progress_bars() as bars:
        task = bars.add_task("images", total=len(cases), note="")
        for case in cases:
            bars.update(task, note=case.name)
            job = JobRunner("inline").submit(_score, load, case, n_classes, arguments.tolerance, pictures)
            if job.state is JobState.DONE:
                rows[case.name] = job.result
            else:
                failed += 1
                console.error(f"{case.name}: {said.sentence(job.error) if job.error else 'stopped'}", bars.console)
            bars.advance(task)
    if rows:
        _show(rows, arguments.output, arguments.overwrite)
    console.say(f"{len(rows)} images, {failed} failed.")
    return console.SOME_FAILED if failed else console.DONE


def _score(context: object, load: Loader, case: Case, n_classes: int, tolerance: float, pictures: Path | None) -> Row:
    found = load(case)
    truth, labels = found.truth, found.labels
    if n_classes:
        most = max(n_classes, int(truth.max(initial=0)) + 1, int(labels.max(initial=0)) + 1)
        row = class_scores(truth, labels, most, tolerance, found.spacing)
    else:
        row = object_scores(truth, labels, tolerance, found.spacing)
    if pictures is not None:
        target = pictures / f"{inputs.stem(case.given)}_errors.png"
        write_mistakes(target, None if found.source is None else _planes(found.source), truth, labels, n_classes > 0)
    return row


def _planes(source: ImageSource) -> Callable[[int, int], npt.NDArray[Any]]:
    """Return what reads a plane to draw on: colours as they are, else the first channel."""

    def plane(t: int, z: int) -> npt.NDArray[Any]:
        _, _, height, width = source.shape
        values = source.read(t, (slice(z, z + 1), slice(0, height), slice(0, width)))[:, 0]
        return np.moveaxis(values, 0, -1) if source.rgb else values[0]

    return plane


def _cases(arguments: argparse.Namespace) -> list[Case]:
    if arguments.model is not None:
        if not arguments.images:
            raise UserError("A model needs images to be evaluated on.", "Give --images.")
        pairs = inputs.find_pairs(arguments.images, arguments.labels)
        return [Case(truth, image, image) for image, truth in pairs]
    pairs = inputs.find_pairs(arguments.predictions, arguments.labels)
    images: dict[Path, Path] = {}
    if arguments.images:
        images = {truth: image for image, truth in inputs.find_pairs(arguments.images, arguments.labels)}
    return [Case(truth, prediction, images.get(truth)) for prediction, truth in pairs]


def _of_files(arguments: argparse.Namespace) -> Loader:
    """Return what reads a truth, labels, and the image if there is one."""

    def load(case: Case) -> Compared:
        labels, axes, _, _ = read_labels(case.given)
        expected, other, spacing, _ = read_labels(case.truth)
        found, wanted = canonical_view(labels, axes), canonical_view(expected, other)
        if found.shape != wanted.shape:
            raise UserError(
                f"The prediction is (T, Z, Y, X) = {found.shape}, but the truth {case.truth.name!r} is {wanted.shape}.",
                "Compare label images of the same image.",
            )
        source = None
        if case.image is not None:
            source = inputs.open_source(case.image, arguments.axes, arguments.channels, arguments.scale)
            labels_for_image(case.truth, source)
        return Compared(wanted, found, spacing, source)

    return load


def _of_model(arguments: argparse.Namespace, objects: ObjectSettings) -> tuple[Loader, int]:
    """Return what segments an image and reads its truth, and the number of classes (0 for objects)."""
    from napari_unet.session.tasks import predictor_for

    options = settings_from(arguments, PredictOptions)
    predictor = predictor_for(arguments.model, arguments.device, arguments.precision, options)
    console.note(predictor.sentence)
    output = predictor.checkpoint.header.output

    def load(case: Case) -> Compared:
        source = inputs.open_source(case.given, arguments.axes, arguments.channels, arguments.scale)
        expected = labels_for_image(case.truth, source)
        axes = label_axes(source.axes)
        labels = predictor.segment(source, settings=objects)
        return Compared(canonical_view(expected, axes), canonical_view(labels, axes), source.scale, source)

    as_objects = output.numbered(objects.connected)
    return load, 0 if as_objects else len(output.classes)


def _show(rows: dict[str, Row], path: str | None, overwrite: bool) -> None:
    names = list(dict.fromkeys(name for row in rows.values() for name in row))
    columns = {name: [row.get(name, float("nan")) for row in rows.values()] for name in names}
    means = {name: _mean(values) for name, values in columns.items()}
    shown = [n for n in SHOWN if n in names] if "f1" in names else [n for n in names if n.startswith(SHOWN_OF_CLASSES)]
    table = [[image, *(_cell(name, row.get(name)) for name in shown)] for image, row in rows.items()]
    table.append(["mean", *(_cell(name, means[name], mean=True) for name in shown)])
    console.table(
        "Agreement with the truth; objects match at IoU ≥ 0.5, the mean is over images",
        ["image", *(name.replace("_", " ") for name in shown)],
        table,
        last_row_apart=True,
    )
    if path is not None:
        written: dict[str, Sequence[Any]] = {"image": [*rows, "mean"]}
        write_table(path, written | {name: [*columns[name], means[name]] for name in names}, overwrite=overwrite)


def _mean(values: Sequence[float]) -> float:
    """Return the mean of what could be measured; NaN if nothing could."""
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")


def _cell(name: str, value: float | None, mean: bool = False) -> str:
    if value is None or np.isnan(value):
        return ""
    return f"{value:.{'1' if mean else '0'}f}" if name in COUNTED else f"{value:.3f}"
