"""The job function that makes the final model: from the starting checkpoint, on everything, repeatably."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from napari_unet import __version__
from napari_unet.inference.rescaling import trained_voxel_size
from napari_unet.jobs import JobContext
from napari_unet.learning.assignment import Assignment
from napari_unet.learning.decision import Decision, decide
from napari_unet.learning.preparation import matched
from napari_unet.learning.quick import full_sized
from napari_unet.learning.samples import Block, Split
from napari_unet.learning.settings import TrainSettings
from napari_unet.model.header import ClassInfo
from napari_unet.session.final import KEY, final_name
from napari_unet.session.kept import KeptState
from napari_unet.session.training_tasks import (
    KnownImage,
    TrainOutcome,
    agreement_of,
    diameter_in,
    guard_scores,
    run_trainer,
    split_of,
)

if TYPE_CHECKING:
    from napari_unet.model.checkpoint import Checkpoint

FEWEST_STEPS, MOST_STEPS = 300, 1500


@dataclass(frozen=True, eq=False)
class FinalRequest:
    """What the final model is made of.

    Parameters
    ----------
    start : str
        The starting checkpoint.
    classes : tuple of ClassInfo or None
        The classes that it gets first, where they were changed since; None to leave its head as it is.
    against : str
        The current model, which the decision compares with.
    images : tuple of KnownImage
        Everything known, but for the audit regions.
    settings : TrainSettings
        Steps, seed, threads, device: the same give the same model on one machine.
    target : str
        Where to save it.
    kept : KeptState or None
        Where the state is kept meanwhile.
    assignment : Assignment or None
        Which places validate.
    guard : tuple of KnownImage
        The regions that the work began with, where it must not forget.
    """

    start: str
    classes: tuple[ClassInfo, ...] | None
    against: str
    images: tuple[KnownImage, ...]
    settings: TrainSettings
    target: str
    kept: KeptState | None = None
    assignment: Assignment | None = None
    guard: tuple[KnownImage, ...] = ()


def default_steps(n_known: int) -> int:
    """Return the steps for a number of known voxels: 300 up to a thousand, 300 more per factor of ten, 1500 at most.

    Examples
    --------
    >>> [default_steps(n) for n in (100, 1_000, 10_000, 100_000, 10**9)]
    [300, 300, 600, 900, 1500]
    """
    return min(MOST_STEPS, max(FEWEST_STEPS, round(FEWEST_STEPS * (math.log10(max(n_known, 1)) - 2))))


def final_settings(steps: int, seed: int, threads: int) -> TrainSettings:
    """Return settings that give the same model twice: steps instead of seconds, fixed threads, and the CPU."""
    return TrainSettings(seconds=None, steps=steps, seed=seed, threads=threads, device="cpu")


def finalize(context: JobContext, request: FinalRequest) -> TrainOutcome:
    """Train from the starting checkpoint and compare with the current model; cancelling leaves nothing behind."""
    from napari_unet.learning.scoring import score_checkpoint
    from napari_unet.learning.trainer import Trainer
    from napari_unet.model.checkpoint import load_checkpoint

    context.progress(0, 0, "loading the models")
    root, against = load_checkpoint(request.start), load_checkpoint(request.against)
    start = root if request.classes is None else root.with_classes(request.classes)
    start = full_sized(start, request.settings.seed)
    split = split_of(context, request.images, start.header, request.settings.seed, request.assignment)
    trainer = Trainer(start, split.training, split.validation, request.settings)
    run_trainer(context, trainer, request.images, request.kept, "training the final model")
    context.check()
    context.progress(0, 0, "comparing with the current model")
    result = trainer.result

    def stop() -> bool:
        return context.cancelled

    after, before = (
        score_checkpoint(model, split.validation, request.settings) for model in (result.checkpoint, against)
    )
    guard = guard_scores(result.checkpoint, against, request.guard, request.settings)
    decision = _worded(decide(after, before, guard=guard))
    blocks = [block_scores(model, split, request.settings, stop) for model in (against, result.checkpoint)]
    context.check()
    provenance = _provenance(request, root, decision, result.steps)
    provenance[KEY]["blocks"] = [
        _block_values(block, earlier, score) for (block, earlier), (_, score) in zip(*blocks, strict=True)
    ]
    header = replace(
        result.checkpoint.header,
        parent=root.header.weights_hash,
        provenance=provenance,
        name=final_name(against.header),
        voxel_size=trained_voxel_size(
            (image.source for image in request.images), root.header.ndim, root.header.voxel_size
        ),
        object_diameter=diameter_in(request.images, result.checkpoint.header),
    )
    replace(result.checkpoint, header=header).save(request.target)
    if request.kept is not None:
        request.kept.remove()
    return TrainOutcome(request.target, load_checkpoint(request.target).header, decision, split.blocks, result.steps)


def block_scores(
    checkpoint: Checkpoint, split: Split, settings: TrainSettings, should_stop: Callable[[], bool]
) -> list[tuple[Block, float]]:
    """Return how far a model agrees with each block held back on its own, 0 to 1; fewer if stopped."""
    from napari_unet.learning.learner import Learner
    from napari_unet.learning.scoring import Scoring

    learner = Learner(checkpoint, settings)
    scores: list[tuple[Block, float]] = []
    for block, region in zip(split.blocks, split.validation, strict=True):
        found = Scoring([matched(region, checkpoint)], checkpoint).score(learner, should_stop)
        scores += [(block, score) for score in found]
        if should_stop():
            break
    return scores


def _worded(decision: Decision) -> Decision:
    """Say that the numbers compare the final model with the current one."""
    sentence = decision.sentence[:1].lower() + decision.sentence[1:]
    end = " The final model is in the history of models, too." if decision.verdict == "keep" else ""
    return replace(decision, sentence=f"Final model: {sentence}{end}")


def _provenance(request: FinalRequest, root: Checkpoint, decision: Decision, steps: int) -> dict[str, Any]:
    made, settings = time.strftime("%Y-%m-%d %H:%M"), request.settings
    known = known_voxels(request.images)
    return {
        "description": f"Final model, trained from '{root.header.name}' on everything known, {made}.",
        "made": made,
        "agreement": agreement_of(decision),
        "images": [image.source.name for image in request.images],
        "known_voxels": known,
        "steps": steps,
        "seed": settings.seed,
        KEY: {
            "agreement": agreement_of(decision),
            "start": root.header.weights_hash,
            "start_name": root.header.name,
            "seed": settings.seed,
            "steps": settings.steps,
            "threads": settings.threads,
            "device": settings.device,
            "images": len(request.images),
            "known_voxels": known,
            "torch": version("torch"),
            "napari_unet": __version__,
        },
    }


def known_voxels(images: tuple[KnownImage, ...]) -> int:
    """Return how many voxels are known in all images."""
    return int(sum(crop.known.sum() for image in images for crop in image.crops))


def _block_values(block: Block, before: float, score: float) -> dict[str, Any]:
    return {
        "image": block.image_id,
        "t": block.t,
        "box": [[part.start, part.stop] for part in block.box],
        "known": block.n_known,
        "before": round(before, 6),
        "score": round(score, 6),
    }
