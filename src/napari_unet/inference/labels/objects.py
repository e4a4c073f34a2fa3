"""Scores to labels: classes or objects, re-runnable without the network. Free of torch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_unet.errors import UserError
from napari_unet.inference.labels.smoothing import smoothed
from napari_unet.inference.labels.splitting import LEAST_SEED, LEVELS, parted
from napari_unet.inference.labels.tidying import tidied

if TYPE_CHECKING:
    from napari_unet.model.header import Output

Labels = npt.NDArray[np.uint32]
Mask = npt.NDArray[np.bool_]

MOST_SMOOTH = 20  # voxels: more than any outline is wrong by
SMALLEST = {2: 20, 3: 65}  # voxels of a disc, and of a ball, of 5 voxels across


@dataclass(frozen=True)
class ObjectSettings:
    """How scores become labels.

    Parameters
    ----------
    threshold : float
        Score from which a voxel is foreground, 0 to 1. Classes do not use it: the highest score wins.
    min_size : int or None
        Objects of fewer voxels are removed; 0 keeps all. By default 20 in 2D and 65 in 3D: a disc and a ball of 5
        voxels across.
    split : float
        How eagerly touching objects are split, 0 (never) to 1, in tenths; only for models with instances.
    fill_holes : bool
        Fill what an object encloses.
    connected : bool
        For one foreground channel: number the connected objects instead of labelling all of them 1.
    smooth : int
        Radius in voxels over which scores are smoothed first; 0 leaves them as they are. Not for classes.

    Raises
    ------
    UserError
        If a value is out of range.
    """

    threshold: float = 0.5
    min_size: int | None = None
    split: float = 0.5
    fill_holes: bool = True
    connected: bool = False
    smooth: int = 0

    def __post_init__(self) -> None:
        for name in ("threshold", "split"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise UserError(f"The setting {name!r} is {value}; expected 0 to 1.", "Choose a value in that range.")
        if self.min_size is not None and self.min_size < 0:
            raise UserError(f"The minimum size is {self.min_size} voxels; expected 0 or more.", "Choose 0 to keep all.")
        if not 0 <= self.smooth <= MOST_SMOOTH:
            raise UserError(
                f"The smoothing radius is {self.smooth} voxels; expected 0 to {MOST_SMOOTH}.", "Choose 0 for none."
            )

    def least_size(self, ndim: int) -> int:
        """Return the voxels that an object has at least, in 2D or 3D."""
        return SMALLEST[ndim] if self.min_size is None else self.min_size

    def settled(self, ndim: int) -> ObjectSettings:
        """Return these settings with the minimum size that they mean in 2D or 3D, as provenance records them."""
        return replace(self, min_size=self.least_size(ndim))


def decode(scores: npt.NDArray[Any], output: Output, settings: ObjectSettings | None = None) -> Labels:
    """Turn scores into labels.

    Parameters
    ----------
    scores : ndarray
        Shape (C, Y, X) or (C, Z, Y, X), values 0 to 1. A stack is decoded as one volume.
    output : Output
        What the channels mean.
    settings : ObjectSettings, optional
        Smoothing, threshold, minimum size, splitting, hole filling.

    Returns
    -------
    ndarray of uint32
        Shape of one channel. Classes: the index of the class with the highest score (the lower one
        among equals). Binary: 0 and 1. Objects: 1 to n, in the order of their first voxel.
        Minimum size and hole filling apply to objects only.

    Raises
    ------
    UserError
        If the channels are not those of the output.

    Examples
    --------
    >>> from napari_unet.model.header import ClassInfo, Output
    >>> classes = (ClassInfo("background", "#000000"), ClassInfo("cell", "#e69f00"))
    >>> output = Output("binary", "sigmoid", ("foreground",), classes)
    >>> scores = np.array([[[0.9, 0.9, 0.1, 0.8]]])
    >>> decode(scores, output)
    array([[1, 1, 0, 1]], dtype=uint32)
    >>> decode(scores, output, ObjectSettings(connected=True, min_size=0))
    array([[1, 1, 0, 2]], dtype=uint32)
    """
    settings = settings or ObjectSettings()
    if scores.ndim not in (3, 4) or scores.shape[0] != len(output.channels):
        raise UserError(
            f"The scores have shape {scores.shape}; expected ({len(output.channels)}, [Z], Y, X) "
            f"for the channels {', '.join(output.channels)}.",
            "Decode the scores with the model that made them.",
        )
    if scores.ndim == 4 and scores.shape[1] == 1:
        return decode(scores[:, 0], output, settings)[np.newaxis]
    if output.kind == "classes":
        return np.asarray(scores.argmax(axis=0), np.uint32)
    if settings.smooth:
        scores = smoothed(scores, settings.smooth)
    if output.kind == "binary" and not settings.connected:
        return np.asarray(scores[0] >= settings.threshold, np.uint32)
    found = pieces(scores, output, settings)
    labels, count = found.labels, found.count
    if found.core is not None and count:
        labels = _with_core(labels, count, found.core, least_core(settings, labels.ndim))
    return tidied(labels, count, settings.fill_holes, settings.least_size(labels.ndim))


@dataclass(frozen=True)
class Pieces:
    """Objects as they are found, before anything is done that needs to see them whole.

    Parameters
    ----------
    labels : ndarray of int32
        Shape of one channel; ids from 1 to at most `count`, in no particular order.
    count : int
        The largest id that may occur.
    core : ndarray of bool or None
        Where interior beats boundary; None for models without a boundary.
    """

    labels: npt.NDArray[np.int32]
    count: int
    core: Mask | None


def pieces(scores: npt.NDArray[Any], output: Output, settings: ObjectSettings) -> Pieces:
    """Find the objects in the scores of an image or of a part of it, each on its own.

    What an object becomes depends on nothing but the foreground that is connected with it: one that lies
    wholly inside the part is found there exactly as in the whole image. (Where scores of neighbours tie, as if they
    were not scores but labels, a watershed may share voxels between two seeds in another way.)

    Parameters
    ----------
    scores, output, settings
        See `decode`; the output has objects, and the scores are smooth already.

    Returns
    -------
    Pieces
        Holes are not filled, and nothing is too small yet.
    """
    if output.kind == "instances":
        return _instances(scores, output.channels, settings)
    labels, count = _components(scores[0] >= settings.threshold)
    return Pieces(labels, count, None)


def least_core(settings: ObjectSettings, ndim: int) -> int:
    """Return in how many voxels interior must beat boundary for an object to count: one even if all sizes are kept.

    Where background and boundary are about equally likely, specks of boundary pass the threshold by the hundred.
    """
    return max(1, settings.least_size(ndim) // 2)


def _instances(scores: npt.NDArray[Any], channels: tuple[str, ...], settings: ObjectSettings) -> Pieces:
    """Decode background, interior and boundary: connected objects, split where their interiors part.

    ::

        interior   ▁▂▅██▅▃▅██▅▂▁
        boundary   ▂▅▃▁▁▂▇▂▁▁▃▅▂      interior − boundary > levels: seeds 1 and 2,
        seeds      ....11...22..      grown over the foreground by a watershed
        labels     .111111222222.
    """
    interior, boundary = (
        scores[channels.index(name)].astype(np.float32, copy=False) for name in ("interior", "boundary")
    )
    ridge = boundary - interior
    if "background" in channels:
        mask: Mask = scores[channels.index("background")] <= 1 - settings.threshold
    else:
        mask = np.maximum(interior, boundary) >= settings.threshold
    labels, count = _components(mask)
    if count:
        speck = max(LEAST_SEED, settings.least_size(mask.ndim) // 8)
        labels, count = parted(labels, count, ridge, LEVELS[: round(10 * settings.split)], speck)
    return Pieces(labels, count, ridge < 0)


def _with_core(labels: npt.NDArray[np.int32], count: int, core: Mask, least: int) -> npt.NDArray[np.int32]:
    """Keep the objects in which interior beats boundary in `least` voxels: specks of mere boundary are none."""
    enough = np.bincount(labels[core], minlength=count + 1) >= least
    enough[0] = False
    return np.where(enough[labels], labels, np.int32(0))


def _components(mask: Mask) -> tuple[npt.NDArray[np.int32], int]:
    """Return the objects, numbered: their voxels touch by a face, an edge or a corner."""
    labels, count = ndimage.label(mask, np.ones((3,) * mask.ndim))
    return labels.astype(np.int32, copy=False), int(count)
