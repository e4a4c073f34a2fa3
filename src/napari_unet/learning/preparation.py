"""What training needs of its crops: the right channels, classes that can be learned, a patch that fits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.errors import TrainingError
from napari_unet.learning.samples import PATCH, TrainingRegion

# Voxels that the coarsest level has at least, (z, y, x). One alone has no variance to normalize by; and for two planes
# the bfloat16 convolutions of torch 2.13's CPU build (oneDNN) give weight gradients with values of unwritten memory.
LEAST_COARSE = (3, 2, 2)
SMALLEST_PATCH = 32  # voxels along an axis, below which less memory is no help

if TYPE_CHECKING:
    from napari_unet.model.checkpoint import Checkpoint


def mean(values: Sequence[float]) -> float | None:
    """Return the mean, or None of nothing."""
    return float(np.mean(values)) if values else None


def matched(region: TrainingRegion, checkpoint: Checkpoint) -> TrainingRegion:
    """Return a crop with the network's channels."""
    header = checkpoint.header
    have = region.image.shape[0]
    if have == header.in_channels:
        return region
    if have == 1 and header.repeat_gray:
        shape = (header.in_channels, *region.image.shape[1:])
        return replace(region, image=np.broadcast_to(region.image, shape))
    raise TrainingError(
        f"The crop of {region.image_id!r} has {have} channels, but the model takes {header.in_channels}.",
        f"Choose which {header.in_channels} channels feed the model.",
    )


def check_classes(regions: Sequence[TrainingRegion], checkpoint: Checkpoint) -> None:
    """Refuse labels that the model has no class for, and truths of a single class."""
    output = checkpoint.header.output
    found: set[int] = set()
    for region in regions:
        values = region.labels[region.known]
        found |= set(np.unique(values if output.kind == "classes" else np.minimum(values, 1)).tolist())
    names = [info.name for info in output.classes]
    wrong = [value for value in found if output.kind == "classes" and value >= len(names)]
    if wrong:
        raise TrainingError(
            f"The label {max(wrong)} is known, but the model has the classes 0 to {len(names) - 1} "
            f"({', '.join(names)}).",
            "Add a class, or paint with the classes of the model.",
        )
    if len(found) == 1:
        only = found.pop()
        have = names[only] if only < len(names) else "foreground" if only else "background"
        others = [name for value, name in enumerate(names) if value != only] or ["background"]
        raise TrainingError(
            f"Only {have!r} is known so far; a model learns from at least two classes.",
            f"Paint or accept some {' or '.join(repr(name) for name in others[:3])} too.",
        )


def patch_size(
    wanted: tuple[int, int, int] | None, regions: Sequence[TrainingRegion], checkpoint: Checkpoint
) -> tuple[int, int, int]:
    """Return the patch, a multiple of the network's divisor and not larger than the largest crop needs."""
    ndim = checkpoint.header.ndim
    steps = (1,) * (3 - ndim) + tuple(checkpoint.geometry.divisor)
    largest = np.max([region.labels.shape for region in regions], axis=0)
    size = []
    for axis, step in enumerate(steps):
        n = min(PATCH[ndim][axis], int(largest[axis])) if wanted is None else wanted[axis]
        size.append(max(-(-n // step), LEAST_COARSE[axis]) * step)
    if ndim == 2:
        size[0] = 1
    if wanted is None:
        size[1] = size[2] = max(size[1:])  # square, so that patches can be turned
    return size[0], size[1], size[2]


def halved(patch: tuple[int, int, int], checkpoint: Checkpoint) -> tuple[int, int, int]:
    """Return a patch of about half the length along each axis that is long enough, a multiple of the divisor."""
    steps = (1,) * (3 - checkpoint.header.ndim) + tuple(checkpoint.geometry.divisor)
    size = [
        max(-(-n // (2 * step)) * step, min(n, max(SMALLEST_PATCH, least * step)))
        for n, step, least in zip(patch, steps, LEAST_COARSE, strict=True)
    ]
    return size[0], size[1], size[2]
