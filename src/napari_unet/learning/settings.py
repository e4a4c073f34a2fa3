"""Settings of training; torch-free, so that the panel can use them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from napari_unet.errors import TrainingError

SHORT_ROUND, SHORT_ROUND_STEPS = 15.0, 100  # seconds, or steps, in which preparing much would cost too much


@dataclass(frozen=True)
class TrainSettings:
    """How a round of training runs.

    Parameters
    ----------
    seconds : float or None
        Time budget, validation included.
    steps : int or None
        Number of optimization steps; given, it is the budget and `seconds` is None. On the CPU the same
        steps, seed and threads give the same weights.
    seed : int
        Of patches, augmentation and dropout.
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda:N"`` or ``"mps"``.
    rate, encoder_rate : float
        Learning rate of the decoder and the head, and of the encoder.
    new_rate : float
        Learning rate of a network without a parent, and of a 2D network under a fresh head.
    patch : tuple of int or None
        (z, y, x) of a patch in voxels; by default 128×128 (3D: 16×96×96), at most the largest crop.
    batch : int
        Patches a step.
    anchor : float
        Weight of the divergence from the parent on unknown voxels, against forgetting; 0 switches it off. It
        counts as far as the parent agrees with what is known: a parent that is wrong is not held to.
    rehearsal : float
        Weight of the divergence from the parent on generated images of the kind that it knows, where there are
        such images; 0 switches it off. It counts as far as the parent disagrees with what is known.
    teaching : float
        Weight of the divergence from pseudo-labels on unknown voxels (`napari_unet.learning.pseudolabels`); 0
        switches them off, and rounds of seconds do without.
    weight_decay, clip : float
        Of AdamW, and the largest norm of a gradient.
    average : float
        Largest decay of the running average of the weights, which is what is scored and kept.
    threads : int or None
        CPU threads; one fewer than there are cores by default.
    augment : bool
        Flip, turn, scale and change intensities; in rounds that are not short also bend.
    statistics_share : float
        Share of the budget, 0 to 1, in which the batch norm of a network without a parent follows the batches;
        before, its statistics are taken from some patches, and afterwards they stay.
    from_nothing : bool or None
        The network has no parent: batch norm takes statistics, and nothing anchors it. By default told by the
        batch norm statistics.

    Raises
    ------
    TrainingError
        If there is no budget, or a number is out of range.
    """

    seconds: float | None = 60.0
    steps: int | None = None
    seed: int = 0
    device: str = "auto"
    rate: float = 1e-3
    encoder_rate: float = 3e-4
    new_rate: float = 3e-3
    patch: tuple[int, int, int] | None = None
    batch: int = 4
    anchor: float = 0.3
    rehearsal: float = 2.0
    teaching: float = 1.0
    weight_decay: float = 0.01
    clip: float = 1.0
    average: float = 0.98
    threads: int | None = None
    augment: bool = True
    statistics_share: float = 0.5
    from_nothing: bool | None = None

    def __post_init__(self) -> None:
        if self.steps is not None:
            object.__setattr__(self, "seconds", None)
        budget = self.steps if self.seconds is None else self.seconds
        if budget is None or budget <= 0:
            raise TrainingError(
                f"The training budget is {budget}; expected more than 0 seconds or steps.", "Choose a longer budget."
            )
        if self.batch < 1:
            raise TrainingError(f"The batch is {self.batch} patches; expected at least 1.")

    @property
    def short(self) -> bool:
        """Whether the budget is too small to prepare generated images and pseudo-labels."""
        return (self.seconds or math.inf) < SHORT_ROUND or (self.steps or math.inf) < SHORT_ROUND_STEPS
