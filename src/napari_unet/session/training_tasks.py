"""The job function of a training round."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_unet.errors import TrainingError
from napari_unet.image.boxes import Box
from napari_unet.image.normalize import Statistics, apply, measure
from napari_unet.image.source import ImageSource
from napari_unet.inference.channels import matched_source
from napari_unet.inference.diameters import depth_of_voxels
from napari_unet.inference.rescaling import trained_voxel_size
from napari_unet.jobs import JobContext
from napari_unet.learning.assignment import Assignment
from napari_unet.learning.decision import Decision, decide
from napari_unet.learning.diameters import trained_diameter
from napari_unet.learning.quick import FIRST_LOOK, GENERAL, starting_point
from napari_unet.learning.samples import CHANGED_WEIGHT, Block, Split, TrainingRegion, hold_back
from napari_unet.learning.settings import TrainSettings
from napari_unet.learning.uncorrected import uncorrected
from napari_unet.model.header import CheckpointHeader
from napari_unet.session.final import heir_name
from napari_unet.session.kept import KeptState
from napari_unet.session.number_tasks import region_scores

if TYPE_CHECKING:
    from napari_unet.learning.trainer import Trainer
    from napari_unet.model.checkpoint import Checkpoint


@dataclass(frozen=True, eq=False)
class KnownCrop:
    """A snapshot of what was known in one crop when the user clicked, and of where a prediction was on screen."""

    t: int
    box: Box
    labels: npt.NDArray[Any]
    known: npt.NDArray[np.bool_]
    changed: npt.NDArray[np.bool_]
    shown: npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class KnownImage:
    """An image by reference, with snapshots of what is known in it."""

    image_id: str
    source: ImageSource
    statistics: Statistics | None
    crops: tuple[KnownCrop, ...]

    def without_screen(self) -> KnownImage:
        """Return the image with crops that know of no prediction."""
        return replace(self, crops=tuple(replace(crop, shown=np.zeros_like(crop.known)) for crop in self.crops))


@dataclass(frozen=True, eq=False)
class TrainRequest:
    """What to train, on what, and where to save the candidate; what validates, and where it must not forget."""

    checkpoint: str
    images: tuple[KnownImage, ...]
    settings: TrainSettings
    target: str
    kept: KeptState | None = None
    assignment: Assignment | None = None
    guard: tuple[KnownImage, ...] = ()
    measured: bool = True


@dataclass(frozen=True)
class TrainOutcome:
    """A candidate on disk, and what is to be said about it."""

    path: str
    header: CheckpointHeader
    decision: Decision
    blocks: tuple[Block, ...]
    steps: int
    measured: bool = True


def regions_of(image: KnownImage, header: CheckpointHeader, statistics: Statistics) -> list[TrainingRegion]:
    """Cut the crops of an image, with the channels the network takes, and normalize them."""
    source, _ = matched_source(image.source, header)
    regions = []
    for crop in image.crops:
        left = uncorrected(crop.labels, crop.known, crop.changed, crop.shown, header.output)
        regions.append(
            TrainingRegion(
                image=apply(source.read(crop.t, crop.box), statistics, header.normalization),
                labels=crop.labels,
                known=crop.known,
                weight=np.where(crop.changed, np.float32(CHANGED_WEIGHT), np.float32(1)),
                image_id=image.image_id,
                t=crop.t,
                origin=(crop.box[0].start, crop.box[1].start, crop.box[2].start),
                soft=left,
                mostly_wrong=left is not None,
            )
        )
    return regions


def split_of(
    context: JobContext,
    images: Sequence[KnownImage],
    header: CheckpointHeader,
    seed: int,
    assignment: Assignment | None = None,
) -> Split:
    """Read what is known of all images and hold some of it back; reports the roles of all places."""
    regions = []
    for image in images:
        statistics = image.statistics or measure(matched_source(image.source, header)[0], header.normalization)
        regions += regions_of(image, header, statistics)
        context.check()
    split = hold_back(regions, header.ndim, seed, header.output, assignment)
    # At once: what this round trains on has trained, even if it is killed.
    context.report(split.assignment)
    if not split.training:
        raise TrainingError(
            "Everything that is known lies in blocks held back for measuring, so there is nothing to learn from.",
            "Paint or accept something in another place, too.",
        )
    return split


def run_trainer(
    context: JobContext, trainer: Trainer, images: Sequence[KnownImage], kept: KeptState | None, text: str
) -> None:
    """Run a trainer to its end or until the job is cancelled, keep its state, and report what it reports."""

    def cancelled() -> bool:
        return context.cancelled

    for report in trainer.run(cancelled) if kept is None else kept.run(trainer, images, cancelled):
        context.report(report)
        left = report.seconds_left if math.isfinite(report.seconds_left) else None
        context.progress(*report.amount, text, left)


def agreement_of(decision: Decision) -> dict[str, float | int | None]:
    """Return the numbers of a decision as JSON values, for a model's provenance."""
    return {"before": decision.parent, "after": decision.candidate, "blocks": decision.n_blocks}


def guard_scores(
    candidate: Checkpoint, parent: Checkpoint, regions: Sequence[KnownImage], settings: TrainSettings
) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """Return the scores of candidate and parent on the regions that the work began with; None without any."""
    if not regions:
        return None
    measured: dict[str, Statistics] = {}
    first, second = (region_scores(model, regions, settings, measured) for model in (candidate, parent))
    return first, second


def _without_left(regions: Sequence[TrainingRegion]) -> tuple[TrainingRegion, ...]:
    """Return crops in which nothing left uncorrected teaches or is scored."""
    return tuple(replace(region, soft=None) for region in regions)


def train(context: JobContext, request: TrainRequest) -> TrainOutcome:
    """Train a candidate; reports what the trainer reports. Cancelling keeps the best so far."""
    from napari_unet.learning.scoring import score_checkpoint
    from napari_unet.learning.trainer import Trainer
    from napari_unet.model.checkpoint import load_checkpoint
    from napari_unet.model.heads import FRESH_HEAD

    context.progress(0, 0, "loading the model")
    checkpoint = load_checkpoint(request.checkpoint)
    header = checkpoint.header
    split = split_of(context, request.images, header, request.settings.seed, request.assignment)
    validation = split.validation if request.measured else ()
    start = starting_point(checkpoint, not request.measured, request.settings.seed)
    training = split.training
    if start is not checkpoint:  # a first look: what was left of it is hardly better than the rest
        validation = _without_left(validation)
        if header.ndim == 3:  # too few steps to learn what the corrections say against it
            training = _without_left(training)
    trainer = Trainer(start, training, validation, request.settings)
    run_trainer(context, trainer, request.images, request.kept, "training")
    result = trainer.result
    if result.steps == 0:
        context.check()  # there is nothing to decide on
    guard = guard_scores(result.checkpoint, checkpoint, request.guard, request.settings)
    before = result.parent_scores
    if start is not checkpoint and result.scores:
        before = score_checkpoint(checkpoint, validation, request.settings)
    favours_parent = any(region.soft is not None for region in validation)
    decision = decide(result.scores, before, guard=guard, favours_parent=favours_parent)
    if not request.measured:
        sentence = "A quick look, not measured: go on painting, or click Retrain to train well and measure."
        decision = replace(decision, sentence=sentence)
    elif split.blocks and not result.scores:
        sentence = "Preliminary: stopped before it was measured; compare before and after, then keep or discard."
        decision = replace(decision, sentence=sentence)
    if result.stopped_because == "learned":
        ended = f" The round ended after {result.seconds:.0f} s: it had learned what there is."
        decision = replace(decision, sentence=decision.sentence + ended)
    made = time.strftime("%Y-%m-%d %H:%M")
    provenance = {
        "description": f"Trained on corrections, {made}: {decision.sentence}",
        "made": made,
        "agreement": agreement_of(decision),
        "steps": result.steps,
        "seed": request.settings.seed,
        "images": [image.source.name for image in request.images],
        "known_voxels": int(sum(crop.known.sum() for image in request.images for crop in image.crops)),
        "held_back_blocks": len(split.blocks),
    }
    if not request.measured:
        provenance |= {key: True for key in (FIRST_LOOK, FRESH_HEAD) if header.provenance.get(key)}
    if GENERAL in start.header.provenance:
        provenance[GENERAL] = start.header.provenance[GENERAL]
    best = replace(
        result.checkpoint,
        header=replace(
            result.checkpoint.header,
            parent=header.weights_hash,
            provenance=provenance,
            name=heir_name(header),
            voxel_size=trained_voxel_size((image.source for image in request.images), header.ndim, header.voxel_size),
            object_diameter=diameter_in(request.images, header),
        ),
    )
    best.save(request.target)
    if request.kept is not None:
        request.kept.remove()
    saved = load_checkpoint(request.target).header
    return TrainOutcome(request.target, saved, decision, split.blocks, result.steps, request.measured)


def diameter_in(images: Iterable[KnownImage], before: CheckpointHeader) -> float | None:
    """Return how large the objects are that a model learned from; None for models without objects."""
    if not before.output.instances:
        return None
    images = tuple(images)
    parts = ([(crop.labels, crop.known) for crop in image.crops] for image in images)
    depths = (depth_of_voxels(image.source) for image in images)
    return trained_diameter(parts, before.ndim, before.object_diameter, depths)


def write_provenance(context: JobContext, request: tuple[str, dict[str, Any]]) -> None:
    """Replace what a model file says about where it comes from; its weights, and their hash, stay."""
    from napari_unet.model.checkpoint import load_checkpoint

    path, provenance = request
    checkpoint = load_checkpoint(path)
    replace(checkpoint, header=replace(checkpoint.header, provenance=provenance)).save(path)
