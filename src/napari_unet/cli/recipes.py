"""`napari-unet train --recipe`: a model from whole data sets, as the built-in ones are made."""

from __future__ import annotations

import argparse
import csv
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.cli import console, inputs
from napari_unet.errors import TrainingError, UserError
from napari_unet.image.axes import canonical_view, label_axes
from napari_unet.io.labels import labels_for_image
from napari_unet.jobs import JobContext

if TYPE_CHECKING:
    from napari_unet.learning.pretraining.recipe import DataSet, Recipe
    from napari_unet.learning.pretraining.samples import Sample


def train_recipe(arguments: argparse.Namespace, target: Path) -> int:
    """Train from a recipe and write the checkpoint; returns the exit code."""
    from napari_unet.learning.pretraining.recipe import read_recipe
    from napari_unet.learning.pretraining.samples import generated_samples

    recipe = read_recipe(Path(arguments.recipe))
    if arguments.steps is not None:
        recipe = replace(recipe, schedule=replace(recipe.schedule, steps=arguments.steps))
    recipe = replace(recipe, data=tuple(one for one in recipe.data if not _left_out(one, arguments.without)))
    if recipe.data and arguments.data is None:
        raise UserError("The recipe learns from files.", "Give --data, the folder that its patterns start from.")
    folder, beside = Path(arguments.data or "."), Path(arguments.recipe).parent
    samples = [*generated_samples(recipe)]
    for one in recipe.data:
        samples += read_samples(recipe, one, folder, beside)
    learned = sum(not sample.validation for sample in samples)
    console.note(f"{learned} images to learn from, {len(samples) - learned} to score.")
    return int(console.run_job(_train, (recipe, samples, arguments, target)))


def _left_out(one: DataSet, without: list[str]) -> bool:
    named = (one.images, *one.select.values())
    return any(text in name for text in without for name in named)


def _train(context: JobContext, request: tuple[Recipe, list[Sample], argparse.Namespace, Path]) -> int:
    from napari_unet.learning.pretraining.finishing import calibrated, checkpoint_of, score
    from napari_unet.learning.pretraining.pretrainer import Pretrainer

    recipe, samples, arguments, target = request
    state = None if arguments.state is None else Path(arguments.state)
    trainer = Pretrainer(recipe, samples, state, arguments.device, arguments.threads)
    held = [sample for sample in samples if sample.validation and sample.head == 0]
    for report in trainer.run(lambda: context.cancelled):
        context.progress(report.step, report.steps, f"loss {report.loss:.3f}")
        if held and report.step % recipe.schedule.score_every == 0:
            console.note(f"step {report.step}, loss {report.loss:.4f}: {score(checkpoint_of(trainer), held)}")
    licences = sorted({one.licence for one in recipe.data if one.licence})
    told = {"data": [one.images for one in recipe.data], "licences": licences}
    checkpoint, shift = calibrated(checkpoint_of(trainer, provenance=told), held, arguments.threads)
    scores = score(checkpoint, held, arguments.threads) if held else {}
    provenance = {**checkpoint.header.provenance, "shift": shift, "validation": scores}
    checkpoint.header = replace(checkpoint.header, provenance=provenance)
    console.say(f"Validation: {json.dumps(scores)}")
    console.say(f"Wrote {checkpoint.save(target, half=recipe.half)}.")
    return console.DONE


def read_samples(
    recipe: Recipe, one: DataSet, folder: Path, beside: Path, parts: Sequence[str] = ("train", "validation")
) -> Iterator[Sample]:
    """Read the images of one data set of a recipe, normalized; those kept for testing are left alone.

    Parameters
    ----------
    recipe : Recipe
        The recipe.
    one : DataSet
        Which data set.
    folder, beside : Path
        Where its patterns start, and where its split lies.
    parts : sequence of str
        Which images: of "train", "validation" and "test".

    Raises
    ------
    UserError
        If files are missing or do not fit.
    """
    from napari_unet.learning.pretraining.samples import Sample, normalized

    pairs = _pairs(folder / one.images, folder / one.labels) if one.split or one.part in parts else []
    rows = _split(beside / one.split, one.select) if one.split else None
    sizes = Counter(row.get("cluster") for row in (rows or {}).values())
    chosen = []
    for image, labels in pairs:
        row = {"part": one.part} if rows is None else rows.get(inputs.stem(image))
        if row is not None and row["part"] in parts:
            weight = 1.0 if not row.get("cluster") else sizes[row["cluster"]] ** -0.5
            chosen.append((image, labels, weight, row["part"] == "validation"))
    total = sum(weight for _, _, weight, validation in chosen if not validation)
    group = "-".join(one.select.values()) or Path(one.images).parts[0]
    for image, labels, weight, validation in chosen:
        source = inputs.open_source(image, one.axes, one.channels, one.scale)
        values = normalized(source, recipe.normalization)
        truth = canonical_view(labels_for_image(labels, source), label_axes(source.axes))[0]
        flat = recipe.config.ndim == 2
        cut = tuple(slice(*one.crop.get(letter, (0, None))) for letter in "ZYX")
        values, truth = values[(slice(None), *cut)], truth[cut]
        yield Sample(
            name=inputs.stem(image),
            group=group,
            image=values[:, 0] if flat else values,
            labels=np.ascontiguousarray(truth[0] if flat else truth, np.int32),
            head=recipe.head_of(one.head),
            weight=one.share * weight / total if total else 0.0,
            validation=validation,
        )


def _pairs(images: Path, labels: Path) -> list[tuple[Path, Path]]:
    """Return images with their labels: a single pair, those of the same stem, or by what the ``*`` stands for."""
    if images.is_file() and labels.is_file():
        return [(images, labels)]
    if "{}" not in labels.name:
        return inputs.find_pairs([str(images)], [str(labels)])
    before, _, after = images.name.partition("*")
    found = inputs.find_images([str(images)])
    names = [image.name[len(before) : len(image.name) - len(after)] for image in found]
    return [(image, labels.with_name(labels.name.format(name))) for image, name in zip(found, names, strict=True)]


def _split(path: Path, select: dict[str, str]) -> dict[str, dict[str, str]]:
    """Return the rows of a split by the name of the image."""
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream))
    except OSError as error:
        raise TrainingError(
            f"The split {str(path)!r} cannot be read: {error.strerror}.", "Check the recipe."
        ) from error
    if not rows or not {"id", "part", *select} <= set(rows[0]):
        raise TrainingError(f"The split {path.name!r} lacks one of the columns id, part, {', '.join(select)}.")
    return {row["id"]: row for row in rows if all(row[name] == value for name, value in select.items())}
