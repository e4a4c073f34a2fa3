"""Generated fluorescence nuclei with exact truth: for demonstrations, sample data and tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_unet.errors import ImageError
from napari_unet.image.camera import expose
from napari_unet.image.nucleus import Nucleus, random_nucleus, region, rho_in

Array = npt.NDArray[Any]

PIXEL_UM = 0.5  # in-plane pixel size that the default radius of 9 pixels stands for
Z_SPACING = 2.0  # distance of planes in in-plane pixels


def nuclei_2d(
    shape: Sequence[int] = (512, 512),
    seed: int = 0,
    *,
    radius: float = 9.0,
    density: float = 0.25,
    touching: float = 0.5,
    photons: float = 120.0,
) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.uint16]]:
    """Generate a 2D fluorescence image of nuclei with its exact truth.

    Nuclei of varied shape and brightness, some touching, are blurred by a point spread function
    with an out-of-focus halo, lie on an uneven background and get shot and read noise.

    Parameters
    ----------
    shape : sequence of int
        (Y, X) in pixels.
    seed : int
        The same seed gives the same image.
    radius : float
        Mean radius in pixels; one pixel stands for `PIXEL_UM` µm at the default.
    density : float
        Fraction of the field that nuclei cover, 0 to about 0.5.
    touching : float
        Probability that a nucleus is placed against another one.
    photons : float
        Photons per pixel at the brightness of a mean nucleus; fewer mean more noise.

    Returns
    -------
    image, labels : ndarray of uint16
        Shape (Y, X); label 0 is background, each nucleus has its own number.

    Examples
    --------
    >>> image, labels = nuclei_2d((64, 64), seed=1)
    >>> image.shape, int(labels.max()) > 0
    ((64, 64), True)
    """
    rng = np.random.default_rng(seed)
    spacing = np.ones(2)
    nuclei = _place(_checked_shape(shape, 2), spacing, rng, radius, density, touching)
    return _render(nuclei, _checked_shape(shape, 2), spacing, rng, photons)


def nuclei_3d(
    shape: Sequence[int] = (32, 128, 128),
    seed: int = 0,
    *,
    radius: float = 9.0,
    density: float = 0.15,
    touching: float = 0.5,
    photons: float = 120.0,
    z_spacing: float = Z_SPACING,
) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.uint16]]:
    """Generate a 3D fluorescence stack of nuclei with its exact truth.

    Parameters
    ----------
    shape : sequence of int
        (Z, Y, X) in voxels.
    seed, radius, density, touching, photons
        As in `nuclei_2d`; the radius counts in-plane pixels.
    z_spacing : float
        Distance of the planes in in-plane pixels.

    Returns
    -------
    image, labels : ndarray of uint16
        Shape (Z, Y, X).
    """
    rng = np.random.default_rng(seed)
    spacing = np.array([z_spacing, 1.0, 1.0])
    nuclei = _place(_checked_shape(shape, 3), spacing, rng, radius, density, touching)
    return _render(nuclei, _checked_shape(shape, 3), spacing, rng, photons)


def nuclei_time(
    shape: Sequence[int] = (8, 256, 256),
    seed: int = 0,
    *,
    radius: float = 9.0,
    density: float = 0.2,
    touching: float = 0.4,
    photons: float = 120.0,
    speed: float = 1.5,
) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.uint16]]:
    """Generate a 2D time series of wandering, slowly bleaching nuclei with its exact truth.

    Parameters
    ----------
    shape : sequence of int
        (T, Y, X).
    seed, radius, density, touching, photons
        As in `nuclei_2d`.
    speed : float
        Root mean square step along each axis in pixels per time point.

    Returns
    -------
    image, labels : ndarray of uint16
        Shape (T, Y, X); a nucleus keeps its number through time.
    """
    times, height, width = _checked_shape(shape, 3)
    rng = np.random.default_rng(seed)
    spacing = np.ones(2)
    nuclei = _place((height, width), spacing, rng, radius, density, touching)
    frames = []
    for time in range(times):
        frames.append(_render(nuclei, (height, width), spacing, rng, photons * 0.97**time))
        nuclei = _wander(nuclei, rng, speed)
    return np.stack([image for image, _ in frames]), np.stack([labels for _, labels in frames])


def _checked_shape(shape: Sequence[int], ndim: int) -> tuple[int, ...]:
    lengths = tuple(int(n) for n in shape)
    if len(lengths) != ndim or min(lengths) < 1:
        raise ImageError(f"The shape is {lengths}; expected {ndim} positive lengths.", "Correct the shape.")
    return lengths


def _place(
    shape: tuple[int, ...],
    spacing: Array,
    rng: np.random.Generator,
    radius: float,
    density: float,
    touching: float,
) -> list[Nucleus]:
    """Put nuclei down until the density is reached or there is no more room."""
    taken = np.zeros(shape, bool)
    size = np.asarray(shape) * spacing
    nuclei: list[Nucleus] = []
    covered, failures = 0, 0
    while covered < density * taken.size and failures < 200:
        nucleus = random_nucleus(rng.uniform(0, size), radius, rng)
        leaning = bool(nuclei) and rng.random() < touching
        if leaning:
            partner = nuclei[rng.integers(len(nuclei))]
            direction = rng.normal(size=len(shape))
            direction /= np.linalg.norm(direction)
            reaches = (partner.reach + nucleus.reach) * 0.8
            nucleus = replace(nucleus, center=partner.center + direction * reaches)
        area = region(nucleus, shape, spacing, 1.3)
        if any(s.stop <= s.start for s in area):
            failures += 1
            continue
        rho = rho_in(nucleus, area, spacing)
        body = rho < 1
        clash = taken[area][rho < (1 if leaning else 1.3)].mean() if body.any() else 1.0
        if clash > (0.1 if leaning else 0.0):
            failures += 1
            continue
        failures = 0
        covered += int((body & ~taken[area]).sum())
        taken[area] |= body
        nuclei.append(nucleus)
    return nuclei


def _wander(nuclei: list[Nucleus], rng: np.random.Generator, speed: float) -> list[Nucleus]:
    """Move each nucleus a step, and apart where they would overlap."""
    if not nuclei:
        return nuclei
    centers = np.stack([nucleus.center for nucleus in nuclei])
    before = centers.copy()
    centers += rng.normal(scale=speed, size=centers.shape)
    reach = np.array([nucleus.reach for nucleus in nuclei])
    apart = (reach[:, np.newaxis] + reach) * 0.8
    # Those that touched already keep their distance; nobody comes closer than touching.
    apart = np.minimum(apart, np.linalg.norm(before[:, np.newaxis] - before, axis=-1))
    for _ in range(4):
        offsets = centers[:, np.newaxis] - centers
        distances = np.maximum(np.linalg.norm(offsets, axis=-1), 1e-6)
        push = np.maximum(apart - distances, 0) / distances / 2
        np.fill_diagonal(push, 0)
        centers += (push[..., np.newaxis] * offsets).sum(axis=1)
    return [replace(nucleus, center=center) for nucleus, center in zip(nuclei, centers, strict=True)]


def _render(
    nuclei: list[Nucleus], shape: tuple[int, ...], spacing: Array, rng: np.random.Generator, photons: float
) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.uint16]]:
    """Draw the nuclei, blur them and add background and noise."""
    if len(nuclei) > np.iinfo(np.uint16).max:
        raise ImageError(
            f"{len(nuclei)} nuclei do not fit 16-bit labels; expected up to 65535.", "Choose a smaller shape."
        )
    labels = np.zeros(shape, np.uint16)
    nearest = np.ones(shape)
    light = np.zeros(shape)
    for number, nucleus in enumerate(nuclei, start=1):
        area = region(nucleus, shape, spacing)
        if any(s.stop <= s.start for s in area):
            continue
        rho = rho_in(nucleus, area, spacing)
        # A voxel inside two nuclei belongs to the one it lies deeper in.
        inside = rho < nearest[area]
        nearest[area][inside] = rho[inside]
        labels[area][inside] = number
        light[area][inside] = nucleus.brightness * (0.7 + 0.3 * np.sqrt(1 - rho[inside] ** 2))
    texture = ndimage.gaussian_filter(rng.normal(size=shape), 2.0 / spacing)
    light *= np.clip(1 + 0.15 * texture / max(float(texture.std()), 1e-9), 0.4, 1.6)
    widths = 1.2 / spacing if len(shape) == 2 else np.array([2.4, 1.2, 1.2]) / spacing
    sharp = ndimage.gaussian_filter(light, widths)
    halo = ndimage.gaussian_filter(light, 8.0 / spacing, truncate=2.5)
    mean_light = photons * (0.85 * sharp + 0.15 * halo + 0.12 * _uneven(shape, rng))
    return expose(mean_light, rng), labels


def _uneven(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Return a background around 1 that varies slowly over the image."""
    background = np.ones(shape)
    for axis, length in enumerate(shape):
        position = np.linspace(-1, 1, length) if length > 1 else np.zeros(1)
        slope, bend = rng.uniform(-0.4, 0.4), rng.uniform(-0.2, 0.2)
        along = slope * position + bend * position**2
        background = background + along.reshape([-1 if a == axis else 1 for a in range(len(shape))])
    return np.maximum(background, 0.1)
