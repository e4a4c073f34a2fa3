"""Generated tissue with stained cell borders and exact truth: cells that fill the space like foam."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.spatial import cKDTree

from napari_unet.errors import ImageError
from napari_unet.image.camera import expose

Array = npt.NDArray[Any]


def cells(
    shape: Sequence[int],
    seed: int = 0,
    *,
    radius: float = 12.0,
    wall: float = 1.0,
    bend: float = 0.3,
    photons: float = 60.0,
    inside: float = 0.15,
    z_spacing: float = 1.0,
) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.uint16]]:
    """Generate an image of cells whose borders are bright, with its exact truth.

    The cells are those of a Voronoi diagram, bent by smooth noise; their walls differ in brightness, are blurred by a
    point spread function that is longer along z, and get shot and read noise.

    Parameters
    ----------
    shape : sequence of int
        ([Z], Y, X).
    seed : int
        The same seed gives the same image.
    radius : float
        Mean radius of a cell in in-plane pixels.
    wall : float
        Standard deviation of the blurred wall in pixels.
    bend : float
        How far walls are bent, as a share of the radius.
    photons : float
        Photons per voxel at a wall; fewer mean more noise.
    inside : float
        Brightness inside the cells, as a share of that of the walls.
    z_spacing : float
        Distance of the planes in in-plane pixels.

    Returns
    -------
    image, labels : ndarray of uint16
        Of `shape`; every voxel belongs to a cell, there is no background.

    Raises
    ------
    ImageError
        If the shape is not that of a plane or volume.

    Examples
    --------
    >>> image, labels = cells((40, 40), radius=8)
    >>> image.shape, int(labels.min()) > 0
    ((40, 40), True)
    """
    lengths = tuple(int(n) for n in shape)
    if len(lengths) not in (2, 3) or min(lengths) < 1:
        raise ImageError(f"The shape is {lengths}; expected two or three positive lengths.", "Correct the shape.")
    rng = np.random.default_rng(seed)
    spacing = np.array([z_spacing, 1.0, 1.0][3 - len(lengths) :])
    places = np.stack(np.meshgrid(*(np.arange(n) * s for n, s in zip(lengths, spacing, strict=True)), indexing="ij"))
    bent = np.stack([axis + bend * radius * _smooth(lengths, radius / spacing, rng) for axis in places])
    size = np.asarray(lengths) * spacing
    volume = np.pi * radius**2 if len(lengths) == 2 else 4 / 3 * np.pi * radius**3
    count = max(2, int(np.prod(size + 2 * radius) / volume))
    seeds = rng.uniform(-radius, size + radius, (count, len(lengths)))
    _, nearest = cKDTree(seeds).query(np.moveaxis(bent, 0, -1).reshape(-1, len(lengths)))
    own = nearest.reshape(lengths)
    found, labels = np.unique(own, return_inverse=True)
    if found.size >= np.iinfo(np.uint16).max:
        raise ImageError(f"{found.size} cells do not fit 16-bit labels.", "Choose a smaller shape or a larger radius.")
    light = _walls(own) * np.clip(1 + 0.3 * _smooth(lengths, 2 * radius / spacing, rng), 0.3, 1.7)
    widths = (wall * np.array([2.0, 1.0, 1.0][3 - len(lengths) :])) / spacing
    sharp = ndimage.gaussian_filter(light, widths)
    if light.any():
        sharp /= np.median(sharp[light > 0])
    cytoplasm = inside * np.clip(1 + 0.4 * _smooth(lengths, 1.5 / spacing, rng), 0, None)
    return expose(photons * (sharp + cytoplasm), rng), (labels.reshape(lengths) + 1).astype(np.uint16)


def _walls(own: Array) -> Array:
    """Return 1 at voxels whose next neighbour belongs to another cell."""
    wall = np.zeros(own.shape)
    for axis in range(own.ndim):
        change = (np.diff(own, axis=axis) != 0).astype(float)
        before = [(0, 1) if a == axis else (0, 0) for a in range(own.ndim)]
        wall = np.maximum(wall, np.pad(change, before))
    return wall


def _smooth(shape: tuple[int, ...], sigma: Array, rng: np.random.Generator) -> Array:
    """Return smooth noise of standard deviation 1."""
    noise = ndimage.gaussian_filter(rng.normal(size=shape), np.minimum(sigma, np.asarray(shape)))
    return np.asarray(noise / max(float(noise.std()), 1e-9))
