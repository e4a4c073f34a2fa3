"""Multiscale layers: which level a model sees, and where its voxels lie in the layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from napari.utils.transforms import Affine

from napari_unet.image.boxes import Box

if TYPE_CHECKING:
    from napari.layers import Image

    from napari_unet.model.header import CheckpointHeader

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Place:
    """Where labels lie in an image layer.

    ::

        voxels of the layer    |0|1|2|3|4|5|6|7|8|9|…     the finest level
        of the level           | 0 | 1 | 2 | 3 | 4 |…     factor 2
        of the labels                  | 0 | 1 |          start 2

    Parameters
    ----------
    level : int
        Of the layer's data.
    t : int
        Time point where the labels begin.
    box : tuple of slice or None
        (z, y, x) of the labels in the level; None for all of it.
    """

    level: int = 0
    t: int = 0
    box: Box | None = None


def levels_of(layer: Image) -> int:
    """Return the number of levels of a layer; 1 if it is not multiscale."""
    return len(layer.data) if layer.multiscale else 1


def level_data(layer: Image, level: int) -> Any:
    """Return the array of one level."""
    return layer.data[level] if layer.multiscale else layer.data


def factors(layer: Image, level: int) -> Floats:
    """Return how many voxels of the finest level a voxel of a level spans, along each axis of the layer.

    Parameters
    ----------
    layer : napari.layers.Image
        Any image layer; RGB is not an axis.
    level : int
        0 is the finest.
    """
    if not layer.multiscale:
        return np.ones(layer.ndim)
    return np.asarray(layer.downsample_factors, float)[level][: layer.ndim]


def choose_level(
    sizes: Sequence[tuple[float, float, float] | None], header: CheckpointHeader | None
) -> tuple[int, str]:
    """Choose the level whose pixels are nearest in size to those a model was trained on.

    Parameters
    ----------
    sizes : sequence of tuple or None
        Voxel size (z, y, x) in µm of each level, the finest first; None where unknown.
    header : CheckpointHeader or None
        Of the model; its voxel size is in µm.

    Returns
    -------
    int
        The level; the finest where a voxel size is missing.
    str
        Why, as a few words.

    Examples
    --------
    >>> choose_level([(1.0, 0.25, 0.25), (1.0, 0.5, 0.5), (1.0, 1.0, 1.0)], None)
    (0, 'the finest: no model is chosen')
    """
    if header is None:
        return 0, "the finest: no model is chosen"
    if header.voxel_size is None:
        return 0, "the finest: the model states no voxel size"
    wanted = header.voxel_size[-1]
    known = [(abs(log(size[2] / wanted)), level) for level, size in enumerate(sizes) if size is not None]
    if not known:
        return 0, "the finest: the image's voxel size is unknown"
    return min(known)[1], f"nearest to the model's {wanted:.3g} µm"


def placed(layer: Image, axes: str, place: Place) -> tuple[Floats, Floats]:
    """Return the scale and translation of labels that lie in an image layer.

    Parameters
    ----------
    layer : napari.layers.Image
        The image; its rotation and shear hold for the labels, too.
    axes : str
        Its axes, colours left out.
    place : Place
        Where the labels lie in it.

    Returns
    -------
    tuple of ndarray
        Scale and translate, one number for each axis of the layer. The labels' voxel i is centred at
        the layer's voxel ``(start + i + 1/2) · factor - 1/2``, where napari shows the level's voxel.
    """
    factor = factors(layer, place.level)
    starts = {"T": float(place.t)}
    if place.box is not None:
        starts |= {letter: float(span.start) for letter, span in zip("ZYX", place.box, strict=True)}
    start = np.array([starts.get(letter, 0.0) for letter in axes])
    shift = (start + 0.5) * factor - 0.5
    scale = np.asarray(layer.scale, float)
    linear = Affine(scale=scale, rotate=layer.rotate, shear=layer.shear, ndim=layer.ndim).linear_matrix
    return scale * factor, np.asarray(layer.translate, float) + linear @ shift
