"""Which regions of an image its statistics are taken from."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from napari_unet.image.boxes import Box
from napari_unet.image.source import ImageSource

EXACT_VALUES = 32 * 2**20  # up to so many values of an image are all looked at: that takes a fifth of a second
SAMPLE_VALUES = 6 * 2**20
_SAMPLE_EDGE = 256
_READ_VALUES = 8 * 2**20


def blocks_to_measure(source: ImageSource) -> tuple[Iterator[tuple[int, Box]], str]:
    """Return the regions to look at, as (time, (z, y, x) slices), and that in words.

    Up to `EXACT_VALUES` values that is everything; beyond, the same evenly spread blocks each time.
    """
    times, depth, height, width = source.shape
    total = times * depth * height * width * source.n_channels
    if total <= EXACT_VALUES:
        rows = max(1, min(height, _READ_VALUES // (width * source.n_channels)))
        planes = max(1, min(depth, _READ_VALUES // (height * width * source.n_channels)))
        every = (
            (t, (slice(z, min(z + planes, depth)), slice(y, min(y + rows, height)), slice(0, width)))
            for t in range(times)
            for z in range(0, depth, planes)
            for y in range(0, height, rows)
        )
        return every, f"all {total} values"
    tall, wide = min(_SAMPLE_EDGE, height), min(_SAMPLE_EDGE, width)
    grid = (times, depth, -(-height // tall), -(-width // wide))
    there = int(np.prod(grid, dtype=np.int64))
    wanted = min(there, max(1, SAMPLE_VALUES // (tall * wide * source.n_channels)))
    # One block from each of `wanted` equal stretches of the raster, at a place fixed by the seed.
    within = np.random.default_rng(0).random(wanted)
    chosen = np.unique(((np.arange(wanted) + within) * (there / wanted)).astype(np.int64))

    def spread() -> Iterator[tuple[int, Box]]:
        for index in chosen:
            t, z, row, column = (int(i) for i in np.unravel_index(index, grid))
            y, x = min(row * tall, height - tall), min(column * wide, width - wide)
            yield t, (slice(z, z + 1), slice(y, y + tall), slice(x, x + wide))

    return spread(), f"{chosen.size} evenly spread blocks of 1×{tall}×{wide} out of {total} values"
