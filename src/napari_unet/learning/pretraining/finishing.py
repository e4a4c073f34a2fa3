"""From a trained network to a checkpoint: one head, calibrated and scored on the validation images."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from napari_unet.image.normalize import Statistics
from napari_unet.inference.labels.objects import ObjectSettings, decode
from napari_unet.inference.predictor import Predictor
from napari_unet.learning.evaluation import class_dice, dice, match_objects
from napari_unet.learning.pretraining.pretrainer import Pretrainer
from napari_unet.learning.pretraining.samples import Sample
from napari_unet.model.checkpoint import Checkpoint
from napari_unet.model.header import CheckpointHeader
from napari_unet.model.unet import UNet

# The loss weighs boundaries up, so that scores overstate them. Background up and boundary down gives that back.
SHIFTS = (0.0, 0.25, 0.5, 0.75, 1.0)


def checkpoint_of(trainer: Pretrainer, head: int = 0, provenance: dict[str, Any] | None = None) -> Checkpoint:
    """Return the averaged network with one of its heads, as a checkpoint; the samples stay out of it."""
    recipe = trainer.recipe
    chosen, channels = recipe.heads[head], recipe.channels_of(head)
    config = replace(recipe.config, out_channels=chosen.channels)
    network = UNet(config)
    weights = {name: value.detach().cpu().clone() for name, value in trainer.average.state_dict().items()}
    for name in ("head.weight", "head.bias"):
        weights[name] = weights[name][channels]
    network.load_state_dict(weights)
    header = CheckpointHeader(
        name=recipe.name,
        config=config,
        normalization=recipe.normalization,
        output=chosen.output,
        voxel_size=recipe.voxel_size,
        provenance={"recipe": recipe.name, "steps": trainer.step, **(provenance or {})},
        repeat_gray=recipe.repeat_gray,
        rehearsal=recipe.rehearsal,
        object_diameter=recipe.object_diameter,
        ndim=config.ndim,
        in_channels=config.in_channels,
        out_channels=config.out_channels,
    )
    return Checkpoint(network.eval(), header)


def calibrated(
    checkpoint: Checkpoint, samples: Sequence[Sample], threads: int | None = None
) -> tuple[Checkpoint, float]:
    """Shift the logits of an instance head by what scores best on the validation images; return the shift, too."""
    if not checkpoint.header.output.instances or not samples:
        return checkpoint, 0.0
    found = {}
    for shift in SHIFTS:
        moved = _shifted(checkpoint, shift)
        found[shift] = float(np.mean(list(score(moved, samples, threads).values())))
    best = max(SHIFTS, key=lambda shift: (found[shift], -shift))
    return _shifted(checkpoint, best), best


def _shifted(checkpoint: Checkpoint, shift: float) -> Checkpoint:
    network = deepcopy(checkpoint.network)
    with torch.no_grad():
        network.get_parameter("head.bias").add_(torch.tensor((shift, 0.0, -shift)))
    return Checkpoint(network, checkpoint.header)


def score(checkpoint: Checkpoint, samples: Sequence[Sample], threads: int | None = None) -> dict[str, float]:
    """Score validation images: AP at an IoU of 0.5 for objects, mean Dice for classes; the mean of each group.

    Parameters
    ----------
    checkpoint : Checkpoint
        The model.
    samples : sequence of Sample
        Normalized images with labels.
    threads : int, optional
        CPU threads.
    """
    predictor = Predictor(checkpoint, device="cpu", threads=threads)
    header = checkpoint.header
    as_it_is = Statistics((0.0,) * header.in_channels, (1.0,) * header.in_channels, "given")
    values: dict[str, list[float]] = {}
    for sample in samples:
        axes = "CYX" if header.ndim == 2 else "CZYX"
        scores = predictor.predict(sample.image, axes, statistics=as_it_is)
        labels = decode(scores, header.output, ObjectSettings())
        values.setdefault(sample.group, []).append(_agreement(checkpoint, sample, labels))
    return {group: round(float(np.mean(numbers)), 4) for group, numbers in sorted(values.items())}


def _agreement(checkpoint: Checkpoint, sample: Sample, labels: npt.NDArray[np.uint32]) -> float:
    output = checkpoint.header.output
    if output.instances:
        return match_objects(sample.labels, labels).average_precision
    if output.kind == "binary":
        return dice(sample.labels, labels)
    found = class_dice(sample.labels, labels, len(output.classes))
    return float(np.mean([value for index, value in found.items() if index]))
