"""Patches of training images, varied in size, orientation, colour and noise. Free of torch."""

from __future__ import annotations

from dataclasses import dataclass
from math import log
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Floats = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int32]
Generator = np.random.Generator

_EMPTY = 0.03  # a patch with less foreground is drawn once more


@dataclass(frozen=True)
class Augmentation:
    """How patches are varied. Intensities are those after normalization: the usual range is 0 to 1.

    Parameters
    ----------
    scale : float
        Patches are shown up to so many times larger or smaller in-plane, and along z for 3D networks.
    flatten : float
        Planes of a 3D patch are up to so many times farther apart.
    turn_z : bool
        Turn 3D patches about all axes: for isotropic volumes.
    gray, invert, blur, noise, gamma, contrast : float
        How often (0 to 1) a colour image becomes gray, bright and dark change places, a patch is blurred, gets noise,
        another gamma, another contrast and brightness.
    stain : float
        Standard deviation of a mixing of colours.
    """

    scale: float = 1.5
    flatten: float = 1.0
    turn_z: bool = False
    gray: float = 0.15
    invert: float = 0.0
    blur: float = 0.25
    noise: float = 0.4
    gamma: float = 0.5
    contrast: float = 0.6
    stain: float = 0.08


def draw_patch(
    image: Floats, labels: Labels, size: tuple[int, ...], channels: int, how: Augmentation, rng: Generator
) -> tuple[Floats, Labels]:
    """Draw one varied patch.

    Parameters
    ----------
    image : ndarray of float32
        (C, [Z], Y, X), normalized; one channel is repeated.
    labels : ndarray of int32
        ([Z], Y, X).
    size : tuple of int
        ([Z], Y, X) of the patch.
    channels : int
        Of the network.
    how : Augmentation
        How it is varied.
    rng : numpy.random.Generator
        The only source of chance.

    Returns
    -------
    image : ndarray of float32
        (channels, *size).
    labels : ndarray of int32
        `size`; ids are those of `labels`.
    """
    factors = _factors(len(size), how, rng)
    wanted = tuple(max(1, round(n * f)) for n, f in zip(size, factors, strict=True))
    part, truth = _cut(image, labels, wanted, rng)
    if np.count_nonzero(truth) < _EMPTY * truth.size:
        part, truth = _cut(image, labels, wanted, rng)
    part, truth = resized(part, size), resized_labels(truth, size)
    part, truth = _turned(part, truth, how.turn_z, rng)
    part = _intensities(np.ascontiguousarray(part), how, rng)
    if len(part) == 1:
        part = np.repeat(part, channels, 0)
    return np.ascontiguousarray(part, np.float32), np.ascontiguousarray(truth)


def _factors(ndim: int, how: Augmentation, rng: Generator) -> list[float]:
    """Return how much of the image goes into a patch along each axis; often little is changed."""
    near = float(rng.choice((0.4, 1.0)))
    plane = float(np.exp(near * rng.uniform(-log(how.scale), log(how.scale)))) if how.scale > 1 else 1.0
    if ndim == 2:
        return [plane, plane]
    sparse = float(np.exp(rng.uniform(0, log(how.flatten)))) if how.flatten > 1 else 1.0
    return [plane * sparse, plane, plane]


def _cut(image: Floats, labels: Labels, size: tuple[int, ...], rng: Generator) -> tuple[Floats, Labels]:
    """Cut out a box; what the image is too small for is mirrored."""
    for axis, n in enumerate(size):
        length = labels.shape[axis]
        start = int(rng.integers(length - n + 1)) if length > n else -((n - length) // 2)
        index = np.abs(np.arange(start, start + n)) if length > 1 else np.zeros(n, int)
        index %= max(1, 2 * length - 2)
        index = np.where(index < length, index, 2 * length - 2 - index) if length > 1 else index
        image, labels = np.take(image, index, axis + 1), np.take(labels, index, axis)
    return image, labels


def resized(image: Floats, size: tuple[int, ...]) -> Floats:
    """Resample (C, [Z], Y, X) by linear interpolation; averaged first where it becomes smaller."""
    shape = image.shape[1:]
    if shape == size:
        return image
    shrink = [a / b for a, b in zip(shape, size, strict=True)]
    if max(shrink) > 1.2:
        sigma = (0, *(0.4 * (s - 1) if s > 1.2 else 0 for s in shrink))
        image = ndimage.gaussian_filter(image, sigma, mode="nearest")
    for axis, n in enumerate(size, start=1):
        length = image.shape[axis]
        if length == n:
            continue
        place = np.clip((np.arange(n) + 0.5) * length / n - 0.5, 0, length - 1)
        low = np.minimum(place.astype(int), max(length - 2, 0))
        part = (place - low).astype(np.float32).reshape([-1 if a == axis else 1 for a in range(image.ndim)])
        image = np.take(image, low, axis) * (1 - part) + np.take(image, np.minimum(low + 1, length - 1), axis) * part
    return image


def resized_labels(labels: Labels, size: tuple[int, ...]) -> Labels:
    """Resample labels: each voxel gets that of the nearest."""
    for axis, n in enumerate(size):
        index = ((np.arange(n) + 0.5) * labels.shape[axis] / n).astype(int)
        labels = np.take(labels, index, axis)
    return labels


def _turned(image: Floats, labels: Labels, turn_z: bool, rng: Generator) -> tuple[Any, Any]:
    """Flip along any axis and turn about those that may change places."""
    ndim = labels.ndim
    if turn_z and ndim == 3 and len(set(labels.shape)) == 1:
        order = rng.permutation(3)
        image, labels = image.transpose(0, *(order + 1)), labels.transpose(order)
    elif labels.shape[-1] == labels.shape[-2] and rng.random() < 0.5:
        image, labels = image.swapaxes(-1, -2), labels.swapaxes(-1, -2)
    for axis in range(ndim):
        if rng.random() < 0.5:
            image, labels = np.flip(image, axis + 1), np.flip(labels, axis)
    return image, labels


def _intensities(image: Floats, how: Augmentation, rng: Generator) -> Floats:
    if len(image) == 3:
        image = _colours(image, how, rng)
    if rng.random() < how.invert:
        image = 1.0 - image
    if rng.random() < how.gamma:
        image = np.sign(image) * np.abs(image) ** np.float32(np.exp(rng.uniform(-0.7, 0.7)))
    if rng.random() < how.contrast:
        image = image * np.float32(np.exp(rng.uniform(-0.5, 0.5))) + np.float32(rng.normal(0, 0.08))
    if rng.random() < how.blur:
        sigma = float(rng.uniform(0.4, 1.6))
        image = ndimage.gaussian_filter(image, (0, *(sigma,) * (image.ndim - 1)))
    if rng.random() < how.noise:
        noise = rng.standard_normal(image.shape, np.float32)
        image = image + noise * np.float32(0.15 * rng.uniform(0.1, 1) ** 2 + 0.005)
    return np.asarray(image, np.float32)


def _colours(image: Floats, how: Augmentation, rng: Generator) -> Floats:
    chance = rng.random()
    if chance < how.gray:  # stained tissue seen by a gray camera
        return np.asarray(image.mean(0, keepdims=True), np.float32)
    if chance < how.gray + 0.6 and how.stain > 0:
        mixing = (np.eye(3) + rng.normal(0, how.stain, (3, 3))).astype(np.float32)
        offset = rng.normal(0, how.stain, 3).astype(np.float32)
        return np.asarray(np.tensordot(mixing, image, 1) + offset.reshape([-1] + [1] * (image.ndim - 1)), np.float32)
    return image
