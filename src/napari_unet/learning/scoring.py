"""How well a network agrees with the corrections held back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_unet.errors import DeviceError
from napari_unet.inference.labels.objects import decode
from napari_unet.learning.evaluation import class_dice
from napari_unet.learning.pooling import Counts, count, pooled, shares, side_by_side
from napari_unet.learning.regions import TrainingRegion
from napari_unet.learning.sampler import Batch
from napari_unet.learning.samples import SCORED_BLOCKS, spread
from napari_unet.model.header import Output

if TYPE_CHECKING:
    from napari_unet.learning.learner import Learner
    from napari_unet.learning.settings import TrainSettings
    from napari_unet.model.checkpoint import Checkpoint

Mask = npt.NDArray[np.bool_]
Scorable = tuple[npt.NDArray[np.float32], npt.NDArray[Any], Mask, Mask]


class Scoring:
    """The blocks held back, ready to be scored again and again.

    All blocks make one score, see `napari_unet.learning.pooling`: the mean Dice coefficient of the classes; for
    objects the mean of the foreground's Dice coefficient and of TP / (TP + FP + FN) at an IoU of 0.5. Classes are
    averaged over known voxels and over those that were left uncorrected: of errors alone the parent has nothing right,
    and the best candidate would be the one that turns everything round.

    Parameters
    ----------
    validation : sequence of TrainingRegion
        With the network's channels; weight 0 marks context, and pseudo-labels what was left uncorrected
        (`napari_unet.learning.uncorrected`).
    checkpoint : Checkpoint
        What the network answers.
    """

    def __init__(self, validation: Sequence[TrainingRegion], checkpoint: Checkpoint) -> None:
        blocks = [_scorable(region, checkpoint) for region in validation]
        self.blocks = spread([block for block in blocks if block[2].any()], SCORED_BLOCKS)
        self._output = checkpoint.header.output

    def score(self, learner: Learner, should_stop: Callable[[], bool]) -> tuple[float, ...]:
        """Return a value per block, whose mean is the score of all; nothing if stopped in between.

        Raises
        ------
        DeviceError
            If memory runs out.
        """
        from napari_unet.inference.network.devices import is_out_of_memory

        counts = []
        for image, truth, mask, left in self.blocks:
            if should_stop():
                return ()
            try:
                found = decode(learner.scores(image), self._output)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                raise DeviceError(
                    f"Memory ran out on {learner.device.name} while scoring a block of {image.shape[1:]} voxels.",
                    "Close other programs, or train on another device or a smaller model.",
                ) from error
            counts.append(self._count(truth, found, mask, left))
        return shares(counts, self._output)

    def _count(self, truth: npt.NDArray[Any], found: npt.NDArray[Any], mask: Mask, left: Mask) -> Counts:
        counts = count(truth, found, mask, self._output)
        if self._output.kind != "classes":
            return counts
        return side_by_side(counts, count(truth, found, left, self._output))


def score_checkpoint(
    checkpoint: Checkpoint, regions: Sequence[TrainingRegion], settings: TrainSettings
) -> tuple[float, ...]:
    """Return the values of a checkpoint on regions, as `Scoring` does; regions where nothing is known are left out.

    Parameters
    ----------
    checkpoint : Checkpoint
        The model.
    regions : sequence of TrainingRegion
        One plane each for a 2D model.
    settings : TrainSettings
        Device and threads.
    """
    from napari_unet.learning.learner import Learner
    from napari_unet.learning.preparation import matched

    scoring = Scoring([matched(region, checkpoint) for region in regions], checkpoint)
    return scoring.score(Learner(checkpoint, settings), lambda: False) if scoring.blocks else ()


def trust_in(parent: Learner, batches: Iterable[Batch]) -> float:
    """Return how far a parent is worth holding to, by its answers in some patches.

    What counts are known voxels, and pseudo-labels that come from the screen as well: where a person paints nothing
    but errors, a parent that is right nearly everywhere is wrong at nearly all that is known.

    Parameters
    ----------
    parent : Learner
        Before its first step.
    batches : iterable of Batch
        Patches, with no pseudo-labels but those of `napari_unet.learning.uncorrected`.

    Returns
    -------
    float
        0 if its mean Dice coefficient over the classes is a half or less, 1 if it is right everywhere. Also 0 where
        memory runs out: a second network does not fit then.
    """
    from napari_unet.inference.network.devices import is_out_of_memory

    found, truth, counted = [], [], []
    for batch in batches:
        left = np.zeros_like(batch.known) if batch.soft is None else ~batch.known & batch.soft.any(axis=1)
        shown = batch.target if batch.soft is None else batch.soft.argmax(axis=1)
        truth.append(np.where(left, shown, batch.target))
        counted.append(batch.known | left)
        for image in batch.image:
            try:
                scores = parent.scores(image)
            except Exception as error:
                if is_out_of_memory(error):
                    return 0.0
                raise
            found.append(scores.argmax(axis=0) if len(scores) > 1 else scores[0] > 0.5)
    channels = max(parent.header.out_channels, 2)
    answers = np.stack(found).astype(np.int64)
    values = class_dice(np.concatenate(truth), answers, channels, np.concatenate(counted))
    return max(0.0, 2 * float(np.mean(list(values.values()))) - 1) if values else 0.0


def agreement(truth: npt.NDArray[Any], found: npt.NDArray[Any], mask: npt.NDArray[np.bool_], output: Output) -> float:
    """Return the score of labels against the truth inside a mask, 0 to 1 (see `Scoring`)."""
    return pooled(count(truth, found, mask, output), output)


def _scorable(region: TrainingRegion, checkpoint: Checkpoint) -> Scorable:
    """Return image, labels and the masks of what is known and what was left, of the network's dimensions."""
    labels, known, image = region.labels, region.known, region.image
    counts = np.ones(known.shape, bool) if region.weight is None else region.weight > 0
    left = counts & ~known & (np.zeros(known.shape, bool) if region.soft is None else region.soft.any(axis=0))
    known = known & counts
    if checkpoint.header.ndim == 2:
        labels, known, left, image = labels[0], known[0], left[0], image[:, 0]
    return image, labels, known, left
