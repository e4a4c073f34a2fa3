"""How much of an image passes through a network at once, and how much memory that takes. Free of torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_unet.inference.network.footprint import footprint
from napari_unet.model.geometry import level_steps

if TYPE_CHECKING:
    from napari_unet.model.config import UNetConfig

# Bytes of one slab of the first level's features. On the CPU what stays in the cache, and below the size from which
# the allocator asks the system for fresh, zeroed pages at each call, is up to twice as fast.
SLAB = {"cpu": 8 * 2**20, "gpu": 256 * 2**20}
LEAST_ROWS = 4


def bytes_across(config: UNetConfig, axis: int, itemsize: int, rows: int = LEAST_ROWS) -> float:
    """Return the bytes that a sweep along `axis` takes per voxel of its cross-section.

    Parameters
    ----------
    config : UNetConfig
        Architecture.
    axis : int
        Of the network, to pass along.
    itemsize : int
        Bytes of a feature.
    rows : int
        Of the image, pushed at once.

    Returns
    -------
    float
        The rows that wait at each level for those from below, and the largest slab while it is convolved: the
        concatenated features, the same with two rows more, and the result.
    """
    steps = level_steps(config)
    divisor = steps[-1][axis]
    length = 64 * divisor * len(steps)
    middle = length // 2
    levels = footprint(config, axis, (middle, middle + 1), length)
    total = 0.0
    for level, step, width in zip(levels, steps, config.features, strict=True):
        density = 1.0
        for other, size in enumerate(step):
            density /= 1 if other == axis else size
        waiting = level.exit[1] - level.joined[0] + divisor // step[axis]
        total += waiting * width * density
    slab = (rows + 2) * config.features[0] * 6
    return itemsize * (total + slab) + 4.0 * rows * (config.in_channels + 2 * config.out_channels)


def most_bytes_across(config: UNetConfig, itemsize: int) -> float:
    """Return `bytes_across` along the axis where it is largest."""
    return max(bytes_across(config, axis, itemsize) for axis in range(config.ndim))


def rows_of(slab: int, config: UNetConfig, across: int, itemsize: int) -> int:
    """Return how many rows of a cross-section with `across` voxels make a slab of so many bytes of features.

    Whole cells of the bottleneck where there are any, at least `LEAST_ROWS`.
    """
    rows = slab // max(1, across * config.features[0] * itemsize)
    step = level_steps(config)[-1][0]
    return max(LEAST_ROWS, rows // step * step if rows >= step else rows)
