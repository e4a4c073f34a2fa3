"""How well a network agrees with the corrections held back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_unet.errors import DeviceError
from napari_unet.learning.evaluation import class_dice
from napari_unet.learning.regions import TrainingRegion
from napari_unet.learning.targets import targets

if TYPE_CHECKING:
    from napari_unet.learning.learner import Learner
    from napari_unet.model.checkpoint import Checkpoint

SCORED_BLOCKS = 32  # at most, evenly spread: scoring must not eat the budget

Scorable = tuple[npt.NDArray[np.float32], npt.NDArray[np.int64], npt.NDArray[np.bool_]]


class Scoring:
    """The blocks held back, ready to be scored again and again.

    The score of a block is the mean Dice coefficient of the network's classes (for objects: background,
    interior and boundary) that occur among its known voxels.

    Parameters
    ----------
    validation : sequence of TrainingRegion
        With the network's channels; weight 0 marks context.
    checkpoint : Checkpoint
        What the network answers.
    """

    def __init__(self, validation: Sequence[TrainingRegion], checkpoint: Checkpoint) -> None:
        blocks = [_scorable(region, checkpoint) for region in validation]
        self.blocks = _spread([block for block in blocks if block[2].any()], SCORED_BLOCKS)
        self._classes = max(checkpoint.header.out_channels, 2)

    def score(self, learner: Learner, should_stop: Callable[[], bool]) -> tuple[float, ...]:
        """Return the score of each block, 0 to 1; nothing if stopped in between.

        Raises
        ------
        DeviceError
            If memory runs out.
        """
        from napari_unet.inference.devices import is_out_of_memory

        scores = []
        for image, target, mask in self.blocks:
            if should_stop():
                return ()
            try:
                found = learner.classes(image)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                raise DeviceError(
                    f"Memory ran out on {learner.device.name} while scoring a block of {image.shape[1:]} voxels.",
                    "Close other programs, or train on another device or a smaller model.",
                ) from error
            scores.append(float(np.mean(list(class_dice(target, found, self._classes, mask).values()))))
        return tuple(scores)


def _spread(items: list[Any], count: int) -> list[Any]:
    """Return at most `count` items, evenly spread."""
    if len(items) <= count:
        return items
    return [items[i * len(items) // count] for i in range(count)]


def _scorable(region: TrainingRegion, checkpoint: Checkpoint) -> Scorable:
    """Return image, target and the mask of the voxels that are scored, of the network's dimensions."""
    labels, known, image = region.labels, region.known, region.image
    weight = np.ones(known.shape, np.float32) if region.weight is None else region.weight
    if checkpoint.header.ndim == 2:
        labels, known, weight, image = labels[0], known[0], weight[0], image[:, 0]
    target, certain = targets(labels, known, checkpoint.header.output)
    return image, target, certain & (weight > 0)
