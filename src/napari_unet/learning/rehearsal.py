"""Rehearsal: what the parent can do is kept by asking it about generated images while the corrections are learned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_unet.image.normalize import apply, measure
from napari_unet.image.source import ImageSource
from napari_unet.image.synthetic import nuclei_2d

if TYPE_CHECKING:
    from napari_unet.learning.learner import Learner
    from napari_unet.learning.sampler import Batch
    from napari_unet.model.header import CheckpointHeader

Floats = npt.NDArray[np.float32]

FIELDS, FEW_FIELDS = 16, 3  # generated images for a round, and for one of seconds
SHARE = 4  # patches of corrections for each generated one
SIDE = 128
FIELD = 2 * SIDE  # a generated image; its four quarters are patches


@dataclass(frozen=True, eq=False)
class Rehearsed:
    """Patches (N, C, Y, X) and the parent's logits for them, of the same spatial size."""

    image: Floats
    logits: Floats


class Rehearsal:
    """Generated patches with the parent's answers.

    A network that learns something new forgets what it is not asked about [1]_. The images that the parent
    was trained on are not at hand; images of the same kind can be generated, and the parent's own answers
    stand for their truth.

    Parameters
    ----------
    learner : Learner
        Still with the parent's weights.
    fields : int
        Generated images, each of four patches.
    seed : int
        Of the images.

    References
    ----------
    .. [1] A. Robins, "Catastrophic forgetting, rehearsal and pseudorehearsal", Connection Science 7 (1995).
    """

    def __init__(self, learner: Learner, fields: int, seed: int) -> None:
        patches = generated_patches(learner.header, fields, seed)
        self._seed = seed
        self._pool = Rehearsed(patches, np.concatenate([learner.answers(part) for part in np.split(patches, fields)]))

    def beside(self, batch: Batch, step: int) -> Rehearsed | None:
        """Return the patches that go with a step's batch; None where the patches of the two differ in size."""
        if batch.image.shape[-2:] != (SIDE, SIDE):
            return None
        return self.draw(-(-len(batch.image) // SHARE), np.random.default_rng((self._seed, step, SHARE)))

    def draw(self, count: int, generator: np.random.Generator) -> Rehearsed:
        """Draw patches, flipped and turned with their logits."""
        images: list[Floats] = []
        logits: list[Floats] = []
        for index in generator.choice(len(self._pool.image), count):
            turns, flip = int(generator.integers(4)), generator.random() < 0.5
            for source, found in ((self._pool.image, images), (self._pool.logits, logits)):
                turned = np.rot90(source[index], turns, (-2, -1))
                found.append(turned[..., ::-1] if flip else turned)
        return Rehearsed(np.stack(images), np.stack(logits))


def rehearsal_for(learner: Learner) -> Rehearsal | None:
    """Return what a learner, still with its parent's weights, rehearses; None if nothing or if switched off."""
    settings = learner.settings
    if settings.rehearsal == 0 or learner.new or not can_rehearse(learner.header):
        return None
    return Rehearsal(learner, FEW_FIELDS if settings.short else FIELDS, settings.seed)


def can_rehearse(header: CheckpointHeader) -> bool:
    """Whether there are generated images of the kind that a model was trained on."""
    return header.rehearsal == "nuclei_2d" and header.ndim == 2


def generated_patches(header: CheckpointHeader, fields: int, seed: int) -> Floats:
    """Generate normalized patches (4 · fields, C, 128, 128) with nuclei of many sizes, densities and noise."""
    rng = np.random.default_rng(seed)
    patches: list[Floats] = []
    for _ in range(fields):
        radius, photons = np.exp(rng.uniform(np.log((3.0, 15.0)), np.log((28.0, 400.0))))
        image, _ = nuclei_2d(
            (FIELD, FIELD),
            int(rng.integers(2**31)),
            radius=float(radius),
            density=float(rng.uniform(0.03, 0.5)),
            photons=float(photons),
        )
        source = ImageSource(np.repeat(image[np.newaxis], header.in_channels, 0), "CYX", "generated")
        everything = (slice(0, 1), slice(0, FIELD), slice(0, FIELD))
        field = apply(source.read(0, everything), measure(source, header.normalization), header.normalization)[:, 0]
        patches += [field[:, y : y + SIDE, x : x + SIDE] for y in (0, SIDE) for x in (0, SIDE)]
    return np.stack(patches)
