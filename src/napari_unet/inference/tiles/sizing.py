"""How large tiles should be, and by how much they overlap where no halo makes them exact. Free of torch."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.image.boxes import Triple, three_axes, triple

if TYPE_CHECKING:
    from napari_unet.model.geometry import Geometry

DEFAULT_VOXELS = {2: 704**2, 3: 128**3}  # computed per tile: in 2D about 512² and a usual halo
MOST_VOXELS = {2: 4096**2, 3: 256**3}
_MARGIN = {2: (32, 128), 3: (16, 32)}  # least and most overlap of blended tiles
TOLERATED_WASTE = 3.0  # computed voxels per voxel of the image, before tiles grow beyond what is quick


def cheapest_step(padded: Triple, divisor: Triple, halo: Triple, voxels: int, most: int) -> Triple:
    """Return the step for which the fewest voxels are computed, within the largest allowed tile."""
    sizes, longest, total = [], [], []
    for length, d, margin in zip(padded, divisor, halo, strict=True):
        cells = length // d
        steps = sorted({-(-cells // count) * d for count in range(1, cells + 1)}, reverse=True)
        outers = [_outer_lengths(length, step, margin) for step in steps]
        sizes.append(steps)
        longest.append([int(lengths.max()) for lengths in outers])
        total.append([int(lengths.sum()) for lengths in outers])
    tile = np.multiply.outer(np.multiply.outer(longest[0], longest[1]), longest[2]).astype(np.float64)
    cost = np.multiply.outer(np.multiply.outer(total[0], total[1]), total[2]).astype(np.float64)
    useful = prod(padded)
    while True:
        fits = tile <= voxels
        if fits.any():
            best = float(np.where(fits, cost, np.inf).min())
            if best <= TOLERATED_WASTE * useful or voxels >= most:
                break
        elif voxels >= most:
            fits, best = tile == tile.min(), float(cost[tile == tile.min()].min())
            break
        voxels = min(2 * voxels, most)
    # Among equals the first has the largest steps, hence the fewest tiles.
    found = np.argwhere(fits & (cost <= best))[0]
    return triple(steps[i] for steps, i in zip(sizes, found, strict=True))


def sweeping_step(
    padded: Triple, divisor: Triple, halo: Triple, voxels: int, across: int, near: bool
) -> tuple[int, Triple]:
    """Return the axis to pass along and the step, for a network that needs no halo along that axis.

    ::

        ┌──────────┬──────────┐
        │ 1 ▼      │ 5 ▼      │   bands as wide as the memory allows, at best the whole image;
        │ 2 ▼      │ 6 ▼      │   each is passed in slabs that are quick
        │ 3 ▼      │ 7 ▼      │
        └──────────┴──────────┘

    Parameters
    ----------
    padded, divisor, halo : tuple of int
        (z, y, x) of the padded image, the network's grid and its halo.
    voxels : int
        Voxels that may be computed per tile for it to stay quick.
    across : int
        Voxels that the cross-section of a band may have.
    near : bool
        Something in the image is wanted before the rest: the tiles are compact.
    """
    # Across, only the encoder has to see the whole halo: about half of the work.
    lean = triple(-(-margin // 2) for margin in halo)
    if near:
        return 1, cheapest_step(padded, divisor, lean, voxels, voxels)
    best: tuple[float, int, int, Triple] | None = None
    # Where all else is equal, rows of whole lines are quicker to read and write than columns.
    for rank, along in enumerate((1, 0, 2)):
        flat = list(padded)
        flat[along] = divisor[along]
        most = max(1, across) * divisor[along]
        step = list(cheapest_step(triple(flat), divisor, lean, most, most))
        lengths = [_outer_lengths(n, s, m) for n, s, m in zip(flat, step, lean, strict=True)]
        cost = prod(float(one.sum()) for one in lengths) / divisor[along] * padded[along]
        section = prod(step) // step[along]
        step[along] = min(padded[along], max(1, voxels // section // divisor[along]) * divisor[along])
        if padded[along] > divisor[along] and (best is None or (cost, section, rank) < best[:3]):
            best = cost, section, rank, triple(step)
    if best is None:
        return 1, padded
    return (1, 0, 2)[best[2]], best[3]


def _outer_lengths(length: int, step: int, margin: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    starts = np.arange(0, length, step, dtype=np.int64)
    lengths: np.ndarray[tuple[int], np.dtype[np.int64]] = np.minimum(starts + step + margin, length) - np.maximum(
        starts - margin, 0
    )
    return lengths


def blending_margins(geometry: Geometry, flat: bool) -> tuple[Triple, Triple]:
    """Return by how much blended tiles reach beyond their inner box, and how much of that is dropped.

    The margin covers the receptive field as far as that is affordable, and leaves a ramp.
    """
    least, most = _MARGIN[2 if flat else 3]
    margins, trims = [], []
    for d, radius in zip(geometry.divisor, geometry.receptive_field, strict=True):
        margin = -(-max(least, 2 * d, min(most, radius + d)) // d) * d
        margins.append(margin)
        trims.append(min(radius, margin - margin // 4))
    return three_axes(margins, 0), three_axes(trims, 0)
