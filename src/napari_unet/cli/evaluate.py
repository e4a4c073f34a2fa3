"""`napari-unet evaluate`: how well a model, or given label images, agree with the truth."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_unet.cli import console, inputs, said
from napari_unet.cli.options import OBJECTS, OPTIONS, add_device_options, add_image_options, add_settings, settings_from
from napari_unet.errors import UserError
from napari_unet.image.axes import canonical_view, label_axes
from napari_unet.inference.objects import ObjectSettings
from napari_unet.inference.options import PredictOptions
from napari_unet.io.atomic import check_target
from napari_unet.io.labels import labels_for_image, read_labels
from napari_unet.io.tables import write_table
from napari_unet.jobs import JobRunner, JobState
from napari_unet.learning.evaluation import Matches, class_dice, dice, iou, match_objects

Row = dict[str, float]
Labels = npt.NDArray[Any]
MEANING = (
    "Dice and IoU compare the foreground; precision, recall, F1 and AP = TP / (TP + FP + FN) count objects that "
    "match at IoU ≥ 0.5. An image without objects on either side scores 1. The mean is over images."
)


def configure(parser: argparse.ArgumentParser, name: str) -> None:
    """Declare the arguments."""
    parser.set_defaults(run=run)
    parser.epilog = MEANING
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("-m", "--model", help="A built-in name or a checkpoint file; needs --images.")
    what.add_argument("--predictions", nargs="+", metavar="P", help="Label images, of the same names as the truth.")
    parser.add_argument("--images", nargs="+", metavar="I", help="Images for --model.")
    parser.add_argument("--labels", nargs="+", required=True, metavar="L", help="The truth, of the same names.")
    parser.add_argument("--classes", action="store_true", help="Label values are classes, not objects (--predictions).")
    parser.add_argument("-o", "--output", metavar="CSV", help="Also write the scores of every image as CSV.")
    parser.add_argument("--overwrite", action="store_true", help="Replace the CSV.")
    add_image_options(parser)
    add_settings(parser, ObjectSettings, OBJECTS, "objects")
    add_settings(parser, PredictOptions, OPTIONS, "running the model")
    add_device_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Score every pair; returns the exit code."""
    objects = settings_from(arguments, ObjectSettings)
    if arguments.output is not None:
        check_target(arguments.output, overwrite=arguments.overwrite)
    if arguments.model is None:
        pairs = inputs.find_pairs(arguments.predictions, arguments.labels)
        score: Loader = _of_files
        n_classes = 2 if arguments.classes else 0
    else:
        if not arguments.images:
            raise UserError("A model needs images to be evaluated on.", "Give --images.")
        pairs = inputs.find_pairs(arguments.images, arguments.labels)
        score, n_classes = _of_model(arguments, objects)
    rows: dict[str, Row] = {}
    failed = 0
    with console.progress_bars() as bars:
        task = bars.add_task("images", total=len(pairs), note="")
        for first, truth in pairs:
            bars.update(task, note=first.name)
            job = JobRunner("inline").submit(_score_pair, score, first, truth, n_classes)
            if job.state is JobState.DONE:
                rows[first.name] = job.result
            else:
                failed += 1
                console.error(f"{first}: {said.sentence(job.error) if job.error else 'stopped'}", bars.console)
            bars.advance(task)
    if rows:
        _show(rows, arguments.output, arguments.overwrite)
    console.say(f"{len(rows)} images, {failed} failed.")
    return console.SOME_FAILED if failed else console.DONE


Loader = Callable[[Path, Path], tuple[Labels, Labels]]


def _score_pair(context: object, load: Loader, first: Path, truth: Path, n_classes: int) -> Row:
    found, expected = load(first, truth)
    return scores(expected, found, n_classes)


def scores(truth: Labels, labels: Labels, n_classes: int = 0) -> Row:
    """Return the scores of one image by name.

    Parameters
    ----------
    truth, labels : ndarray of int, (T, Z, Y, X)
        Objects, matched time point by time point; or classes.
    n_classes : int
        0: label values are objects. Otherwise classes, and the Dice of each that the truth holds is added.
    """
    row = {"dice": dice(truth, labels), "iou": iou(truth, labels)}
    if n_classes:
        most = max(n_classes, int(truth.max(initial=0)) + 1, int(labels.max(initial=0)) + 1)
        return row | {f"dice_class_{k}": value for k, value in class_dice(truth, labels, most).items()}
    matches = sum((match_objects(a, b) for a, b in zip(truth, labels, strict=True)), Matches(0, 0, 0))
    return row | {
        "precision": matches.precision,
        "recall": matches.recall,
        "f1": matches.f1,
        "ap_50": matches.average_precision,
        "objects": float(matches.true_positives + matches.false_negatives),
    }


def _of_files(prediction: Path, truth: Path) -> tuple[Labels, Labels]:
    labels, axes, _, _ = read_labels(prediction)
    expected, other, _, _ = read_labels(truth)
    found, wanted = canonical_view(labels, axes), canonical_view(expected, other)
    if found.shape != wanted.shape:
        raise UserError(
            f"The prediction is (T, Z, Y, X) = {found.shape}, but the truth {truth.name!r} is {wanted.shape}.",
            "Compare label images of the same image.",
        )
    return found, wanted


def _of_model(arguments: argparse.Namespace, objects: ObjectSettings) -> tuple[Loader, int]:
    """Return what segments an image and reads its truth, and the number of classes (0 for objects)."""
    from napari_unet.session.tasks import predictor_for

    options = settings_from(arguments, PredictOptions)
    predictor = predictor_for(arguments.model, arguments.device, arguments.precision, options)
    console.note(predictor.sentence)
    output = predictor.checkpoint.header.output

    def load(image: Path, truth: Path) -> tuple[Labels, Labels]:
        source = inputs.open_source(image, arguments.axes, arguments.channels, arguments.scale)
        expected = labels_for_image(truth, source)
        axes = label_axes(source.axes)
        labels = predictor.segment(source, settings=objects)
        return canonical_view(labels, axes), canonical_view(expected, axes)

    as_objects = output.numbered(objects.connected)
    return load, 0 if as_objects else len(output.classes)


def _show(rows: dict[str, Row], path: str | None, overwrite: bool) -> None:
    names = list(dict.fromkeys(name for row in rows.values() for name in row))
    columns = {name: [row.get(name, float("nan")) for row in rows.values()] for name in names}
    means = {name: float(np.nanmean(values)) for name, values in columns.items()}
    shown = [[image, *(_cell(name, row.get(name)) for name in names)] for image, row in rows.items()]
    shown.append(["mean", *(_cell(name, means[name]) for name in names)])
    console.table(
        "Agreement with the truth; objects match at IoU ≥ 0.5, the mean is over images",
        ["image", *names],
        shown,
        last_row_apart=True,
    )
    if path is not None:
        table: dict[str, Sequence[Any]] = {"image": [*rows, "mean"]}
        write_table(path, table | {name: [*columns[name], means[name]] for name in names}, overwrite=overwrite)


def _cell(name: str, value: float | None) -> str:
    return "" if value is None else f"{value:.0f}" if name == "objects" else f"{value:.3f}"
