"""The images of a recipe in memory, and how often each is drawn. Free of torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_unet.image import foam, synthetic
from napari_unet.image.normalize import Normalization, apply, measure
from napari_unet.image.source import ImageSource
from napari_unet.learning.pretraining.recipe import Generated, Recipe

Floats = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Sample:
    """One image.

    Parameters
    ----------
    name, group : str
        Of the image, and of the images whose scores are averaged.
    image : ndarray of float32
        (C, [Z], Y, X), normalized.
    labels : ndarray of int32
        ([Z], Y, X).
    head : int
        Which head learns from it.
    weight : float
        How often it is drawn, relative to the others.
    validation : bool
        It is only scored.
    """

    name: str
    group: str
    image: Floats
    labels: Labels
    head: int
    weight: float = 1.0
    validation: bool = False


def normalized(source: ImageSource, normalization: Normalization) -> Floats:
    """Return all channels (C, Z, Y, X) of an image of one time point, normalized over the whole image."""
    whole = tuple(slice(0, n) for n in source.shape[1:])
    return apply(source.read(0, (whole[0], whole[1], whole[2])), measure(source, normalization), normalization)


def generated_samples(recipe: Recipe) -> Iterator[Sample]:
    """Yield the generated images of a recipe, always the same ones."""
    for number, one in enumerate(recipe.generated):
        rng = np.random.default_rng((recipe.schedule.seed, number))
        for n in range(one.count):
            image, labels = _generated(one, rng)
            source = ImageSource.from_array(image, axes="ZYX"[-image.ndim :])
            values = normalized(source, recipe.normalization)
            yield Sample(
                name=f"{one.generator} {n}",
                group=one.generator,
                image=values[:, 0] if recipe.config.ndim == 2 else values,
                labels=labels.astype(np.int32),
                head=recipe.head_of(one.head),
                weight=one.share / one.count,
                validation=one.part == "validation",
            )


def _generated(one: Generated, rng: np.random.Generator) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.uint16]]:
    drawn = {name: float(rng.uniform(low, high)) for name, (low, high) in one.options.items()}
    generators: dict[str, Callable[..., tuple[npt.NDArray[np.uint16], npt.NDArray[np.uint16]]]] = {
        "nuclei_2d": synthetic.nuclei_2d,
        "nuclei_3d": synthetic.nuclei_3d,
        "cells": foam.cells,
    }
    return generators[one.generator](one.shape, int(rng.integers(2**31)), **drawn)


def chances(samples: Sequence[Sample]) -> npt.NDArray[np.float64]:
    """Return how likely each sample is drawn; they add up to 1."""
    weights = np.array([sample.weight for sample in samples], float)
    return np.asarray(weights / weights.sum())
