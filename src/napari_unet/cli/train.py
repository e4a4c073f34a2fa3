"""`napari-unet train`: labels from files to a better checkpoint."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

from napari_unet.cli import console, inputs, said
from napari_unet.cli.options import add_image_options, add_settings, settings_from
from napari_unet.cli.training import run_training
from napari_unet.errors import TrainingError, UserError
from napari_unet.image.axes import canonical_view, label_axes
from napari_unet.io.atomic import check_target, check_writable
from napari_unet.io.labels import labels_for_image
from napari_unet.learning.samples import crop_boxes
from napari_unet.learning.settings import TrainSettings
from napari_unet.model.header import COLORS, CheckpointHeader, ClassInfo
from napari_unet.session.model_tasks import NewModelRequest, new_model
from napari_unet.session.training_tasks import KnownCrop, KnownImage, TrainOutcome, TrainRequest, train

TRAINING = ("seed", "device", "rate", "encoder_rate", "batch", "threads")
LABEL_FOLDERS = ("labels", "masks")


def configure(parser: argparse.ArgumentParser, name: str) -> None:
    """Declare the arguments."""
    parser.set_defaults(run=run)
    parser.add_argument("-m", "--model", help="The parent: a built-in name or a checkpoint file.")
    parser.add_argument("-o", "--output", required=True, metavar="FILE", help="The new checkpoint, .safetensors.")
    parser.add_argument("--overwrite", action="store_true", help="Replace the output.")
    parser.add_argument(
        "--classes",
        metavar="A,B,…",
        help="Make a model with these classes, the background first; from the features of --model if it is given.",
    )
    parser.add_argument("--ndim", type=int, choices=(2, 3), default=2, help="Of a model from nothing. Default: 2.")
    recipe = parser.add_argument_group("recipe")
    recipe.add_argument("--recipe", metavar="TOML", help="Train a model from whole data sets; --data is their folder.")
    recipe.add_argument(
        "--without",
        nargs="+",
        action="extend",
        default=[],
        metavar="TEXT",
        help="Leave out the data sets of the recipe with this in the pattern of their images or in what is selected.",
    )
    recipe.add_argument("--state", metavar="FILE", help="Keep the state of hours of training here, and go on from it.")
    data = parser.add_argument_group("data")
    data.add_argument(
        "--image", nargs="+", action="extend", default=[], metavar="I", help="Images: files, folders, patterns."
    )
    data.add_argument(
        "--labels", nargs="+", action="extend", default=[], metavar="L", help="Their labels, of the same names."
    )
    data.add_argument(
        "--known",
        nargs="+",
        action="extend",
        default=[],
        metavar="K",
        help="Masks of the same names: only where they are not 0 do the labels teach. Without, all of the labels do.",
    )
    data.add_argument(
        "--data", metavar="DIR", help="A folder with images/, labels/ and, if only parts are known, known/."
    )
    add_image_options(parser)
    budget = parser.add_argument_group("budget").add_mutually_exclusive_group()
    budget.add_argument("--seconds", type=float, default=60.0, help="Time budget. Default: 60.")
    budget.add_argument("--steps", type=int, help="Steps instead: the same steps and seed give the same model.")
    add_settings(parser, TrainSettings, TRAINING, "training")


def run(arguments: argparse.Namespace) -> int:
    """Train; returns 1 if the new model agrees less with what was held back than its parent."""
    seconds = None if arguments.steps is not None else arguments.seconds
    said.check_budget(seconds, arguments.steps)
    settings = settings_from(arguments, TrainSettings, seconds=seconds)
    said.check_training(settings)
    target = Path(arguments.output)
    if target.suffix != ".safetensors":
        raise UserError(f"The output {target.name!r} is no .safetensors file.", "Give --output a name that ends so.")
    check_writable(check_target(target, overwrite=arguments.overwrite, protected=[arguments.model or ""]).parent)
    if arguments.recipe is not None:
        from napari_unet.cli.recipes import train_recipe

        return train_recipe(arguments, target)
    files = _files(arguments)
    with tempfile.TemporaryDirectory() as folder:
        parent, untrained = _parent(arguments, settings.seed, Path(folder) / "new.safetensors")
        header = _header(parent)
        images = tuple(_known_image(*names, arguments, header) for names in files)
        request = TrainRequest(parent, images, settings, str(target))
        outcome = run_training(train, request)
    _tell(outcome, untrained)
    return console.SOME_FAILED if outcome.decision.verdict == "keep" and not untrained else console.DONE


def _files(arguments: argparse.Namespace) -> list[tuple[Path, Path, Path | None]]:
    """Return (image, labels, known or None) of every image."""
    images, labels, known = list(arguments.image), list(arguments.labels), list(arguments.known)
    if arguments.data is not None:
        if images or labels or known:
            raise UserError("Both --data and --image, --labels or --known were given.", "Give one or the other.")
        images, labels, known = data_folder(arguments.data)
    if not images or not labels:
        raise UserError("There is nothing to train on.", "Give --image and --labels, or --data.")
    if len(images) == len(labels) == 1 and Path(images[0]).is_file() and Path(labels[0]).is_file():
        pairs = [(Path(images[0]), Path(labels[0]))]  # the names of a single pair may differ
        masks = {pairs[0][0]: next(iter(inputs.find_images(known)))} if known else {}
    else:
        pairs = inputs.find_pairs(images, labels)
        masks = dict(inputs.find_pairs(images, known)) if known else {}
    return [(image, label, masks.get(image)) for image, label in pairs]


def data_folder(text: str) -> tuple[list[str], list[str], list[str]]:
    """Return the folders of images, labels and known masks inside a data folder.

    Raises
    ------
    UserError
        If images or labels are missing.
    """
    folder = Path(text)
    labels = next((folder / name for name in LABEL_FOLDERS if (folder / name).is_dir()), None)
    if not (folder / "images").is_dir() or labels is None:
        raise UserError(
            f"The folder {text!r} does not hold the folders images and labels (or masks).",
            "Give such a folder, or --image and --labels.",
        )
    known = folder / "known"
    return [str(folder / "images")], [str(labels)], [str(known)] if known.is_dir() else []


def _parent(arguments: argparse.Namespace, seed: int, target: Path) -> tuple[str, bool]:
    """Return where training starts, and whether that is a model that has seen nothing yet."""
    if arguments.classes is None:
        if arguments.model is None:
            raise UserError("There is no model to start from.", "Give --model, or --classes for a new one.")
        return arguments.model, False
    names = [name.strip() for name in arguments.classes.split(",")]
    if len(names) < 2 or len(set(names)) < len(names) or "" in names:
        raise UserError(
            f"The classes are {arguments.classes!r}; expected two or more different names, the background first.",
            "For example --classes background,cell.",
        )
    classes = tuple(ClassInfo(name, COLORS[index % len(COLORS)]) for index, name in enumerate(names))
    first = inputs.open_source(_files(arguments)[0][0], arguments.axes, arguments.channels, arguments.scale)
    name = Path(arguments.output).stem
    request = NewModelRequest(classes, arguments.model, arguments.ndim, first.n_channels, name, str(target), seed)
    path, _ = console.run_job(new_model, request)
    return str(path), True


def _header(parent: str) -> CheckpointHeader:
    from napari_unet.model.checkpoint import load_checkpoint

    return load_checkpoint(parent).header


def _known_image(
    image: Path, labels: Path, known: Path | None, arguments: argparse.Namespace, header: CheckpointHeader
) -> KnownImage:
    """Return an image with snapshots of what its label file says, where it counts."""
    source = inputs.open_source(image, arguments.axes, arguments.channels, arguments.scale)
    axes = label_axes(source.axes)
    values = canonical_view(labels_for_image(labels, source), axes)
    mask = np.ones(values.shape, bool)
    if known is not None:
        mask = canonical_view(labels_for_image(known, source), axes) > 0
    _check_labels(labels, int(values.max(initial=0)), header)
    nothing = np.zeros(values.shape, bool)
    crops = tuple(
        KnownCrop(t, box, values[t][box].astype(np.int64), mask[t][box], nothing[t][box], nothing[t][box])
        for t in range(values.shape[0])
        for box in crop_boxes(mask[t], header.ndim)
    )
    if not crops:
        raise TrainingError(
            f"Nothing is known in {image.name!r}: its mask is empty.", "Mark what is known, or leave it out."
        )
    return KnownImage(str(image), source, None, crops)


def _check_labels(path: Path, largest: int, header: CheckpointHeader) -> None:
    classes = header.output.classes
    if header.output.kind == "classes" and largest >= len(classes):
        names = ", ".join(f"{index} {info.name}" for index, info in enumerate(classes))
        raise TrainingError(
            f"The label image {path.name!r} holds class {largest}, but the model has {len(classes)}: {names}.",
            "Renumber the labels, or make a model with more --classes.",
        )


def _tell(outcome: TrainOutcome, untrained: bool) -> None:
    decision = outcome.decision
    if decision.parent is None or decision.candidate is None:
        why = (
            f"Stopped before the first look at the {len(outcome.blocks)} blocks held back"
            if outcome.blocks
            else "Too little is known to hold anything back"
        )
        console.say(f"Trained {outcome.steps} steps. {why}, so nothing was measured.")
    else:
        low, high = decision.interval or (float("nan"), float("nan"))
        console.say(
            f"Trained {outcome.steps} steps. Agreement with the labels held back (not accuracy): "
            f"{decision.parent:.3f} before, {decision.candidate:.3f} after, on n={decision.n_blocks} blocks "
            f"(90 % interval of the gain {low:+.3f} to {high:+.3f})."
        )
    if decision.verdict == "keep" and not untrained:
        console.error("The new model agrees less than or as much as its parent: keep using the parent.")
    console.say(f"Wrote {outcome.path}.")
