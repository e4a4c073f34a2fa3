"""Do tiles show? One crop predicted in tiles and at once, and how far the two differ."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_unet.errors import ImageError
from napari_unet.image.boxes import Box, as_box, triple
from napari_unet.image.cropping import crop_source
from napari_unet.image.normalize import Statistics
from napari_unet.image.source import ImageSource
from napari_unet.inference.labels.objects import Labels, ObjectSettings, decode

if TYPE_CHECKING:
    from napari_unet.inference.predictor import Predictor

CROP = {2: (1, 512, 512), 3: (64, 128, 128)}  # voxels of the image that are looked at
EXACT = 1e-4  # what the order of float32 operations may change, for networks whose tiles are exact


@dataclass(frozen=True)
class SeamResult:
    """How far a tiled prediction differs from an untiled one.

    Parameters
    ----------
    difference : float
        The largest difference of scores, 0 to 1.
    differing : int
        Voxels whose label differs, up to numbering.
    voxels : int
        Voxels compared.
    tiles : int
        Tiles of the tiled prediction.
    exact : bool
        Whether tiles of this network are meant to be exact.
    precision : str
        "float32" or "bfloat16".
    """

    difference: float
    differing: int
    voxels: int
    tiles: int
    exact: bool
    precision: str

    @property
    def fine(self) -> bool:
        """Whether the difference is what is promised: `EXACT` for exact networks in float32."""
        return not self.exact or self.precision != "float32" or self.difference <= EXACT

    @property
    def sentence(self) -> str:
        """The result in words.

        Examples
        --------
        >>> SeamResult(2.4e-07, 0, 262144, 9, True, "float32").sentence
        'In 9 tiles and at once, scores differ by at most 2.4e-07, labels in 0 of 262144 voxels (0.00 %), in float32.'
        """
        return (
            f"In {self.tiles} tiles and at once, scores differ by at most {self.difference:.2g}, labels in "
            f"{self.differing} of {self.voxels} voxels ({self.differing / self.voxels:.2%}), in {self.precision}."
        ).replace("%)", " %)") + ("" if self.exact else " The network looks at all of a tile: its tiles are blended.")


def check_seams(
    predictor: Predictor,
    source: ImageSource,
    settings: ObjectSettings | None = None,
    *,
    t: int = 0,
    at: Box | None = None,
    statistics: Statistics | None = None,
    progress: Callable[[int, int], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> SeamResult | None:
    """Predict a crop in tiles and at once.

    ::

        image ┌──────────────────┐        ┌─┬─┬─┐       ┌─────┐
              │     ┌─────┐      │        ├─┼─┼─┤       │     │
              │     │crop │      │   ──►  ├─┼─┼─┤  and  │     │   compared voxel by voxel
              │     └─────┘      │        └─┴─┴─┘       └─────┘
              └──────────────────┘

    Parameters
    ----------
    predictor : Predictor
        What computes, with its options.
    source : ImageSource
        The image.
    settings : ObjectSettings, optional
        How scores become labels.
    t : int
        Time point.
    at : tuple of slice, optional
        (z, y, x) box around whose centre the crop of `CROP` voxels lies; the image's centre when omitted.
    statistics : Statistics, optional
        Of the whole image; measured when omitted.
    progress : callable, optional
        Called with (done, total) tiles of both predictions.
    should_stop : callable, optional
        Asked before each tile and each layer.

    Returns
    -------
    SeamResult or None
        None if it was stopped.

    Raises
    ------
    UserError
        As `Predictor.stream` does.
    """
    settings = settings or ObjectSettings()
    if not 0 <= t < source.n_times:
        raise ImageError(
            f"Time point {t} was asked for, but the image {source.name!r} has {source.n_times}, counted from 0.",
            "Choose one that exists.",
        )
    header = predictor.checkpoint.header
    deep = header.ndim == 3 or predictor.route(source).directions
    crop = crop_source(source, t, crop_box(source.shape[1:], CROP[3 if deep else 2], at))
    statistics = statistics or predictor.measure(source)
    tiled = predictor.with_tile(max(1, max(crop.shape[1:]) // 3))
    plan = tiled.plan(crop)
    total = len(plan.tiles) + len(predictor.with_tile(_LARGE).plan(crop).tiles)
    found = []
    done = 0
    for one in (tiled, predictor.with_tile(_LARGE)):
        scores = np.zeros((header.out_channels, *crop.shape[1:]), np.float32)
        before = done
        for part in one.stream(crop, statistics, should_stop=should_stop):
            scores[(slice(None), *part.tile.inner)] = part.scores
            done = before + part.done
            if progress is not None:
                progress(done, total)
        if should_stop is not None and should_stop():
            return None
        found.append(scores)
    labels = [
        np.concatenate([decode(scores[:, z], header.output, settings)[np.newaxis] for z in range(scores.shape[1])])
        if plan.flat
        else decode(scores, header.output, settings)
        for scores in found
    ]
    numbered = header.output.numbered(settings.connected)
    differing = differing_voxels(*labels) if numbered else int(np.count_nonzero(labels[0] != labels[1]))
    return SeamResult(
        float(np.abs(found[0] - found[1]).max()),
        differing,
        labels[0].size,
        len(plan.tiles),
        predictor.checkpoint.geometry.exact,
        predictor.precision,
    )


_LARGE = 2**20  # a tile that no crop exceeds


def crop_box(shape: tuple[int, ...], size: tuple[int, ...], at: Box | None) -> Box:
    """Return a box of at most `size` inside an image, around the centre of `at`."""
    start, stop = [], []
    for axis, (length, wanted) in enumerate(zip(shape, size, strict=True)):
        middle = length // 2 if at is None else (at[axis].start + at[axis].stop) // 2
        first = min(max(0, middle - wanted // 2), max(0, length - wanted))
        start.append(first)
        stop.append(min(length, first + wanted))
    return as_box(triple(start), triple(stop))


def differing_voxels(first: Labels, second: Labels) -> int:
    """Return in how many voxels two label images differ, whatever the objects are numbered.

    Objects correspond if each shares more voxels with the other than with any other object.

    Examples
    --------
    >>> differing_voxels(np.array([1, 1, 0, 2], np.uint32), np.array([7, 7, 0, 0], np.uint32))
    1
    """
    pairs, count = np.unique(np.stack([first.ravel(), second.ravel()]).astype(np.int64), axis=1, return_counts=True)
    alike = (pairs[0] > 0) == (pairs[1] > 0)
    pairs, count = pairs[:, alike], count[alike]
    best: npt.NDArray[np.bool_] = np.ones(count.size, bool)
    rank = count * count.size - np.arange(count.size)  # among equals the first
    for side in pairs:
        most = np.full(int(side.max(initial=0)) + 1, np.iinfo(np.int64).min)
        np.maximum.at(most, side, rank)
        best &= rank == most[side]
    return int(first.size - count[best].sum())
