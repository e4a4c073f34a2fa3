"""How large the objects of an image are, by a first coarse pass at several scales. Free of torch.

A network finds objects of the size that it knows and fails at others in its own way: much larger ones fall into
pieces of that size, much smaller ones run together into blobs of that size. Looked at through one scale, all three are
the same. Across scales they differ: a true object keeps its diameter in the image, pieces and blobs change theirs
with the scale::

    scale            ¼      ½      1      2      4
    true objects     .      20     21     20     .       pixels of the image: they agree
    pieces, blobs    78     41     .      9.5    5       always about what the network knows

Each scale therefore votes. For each diameter the scale that says most is left out, so that nothing wins which is
seen at one scale alone, and the diameter for which the others say most is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_unet.image.boxes import Box, Triple, as_box, extent, triple
from napari_unet.image.cropping import crop_source
from napari_unet.image.normalize import Statistics
from napari_unet.image.source import ImageSource
from napari_unet.inference.channels import matched_source
from napari_unet.inference.diameters import FoundSize, depth_of_voxels, equivalent_diameters, wants_estimate
from napari_unet.inference.labels.keeping import sample_of
from napari_unet.inference.labels.objects import ObjectSettings, decode
from napari_unet.inference.options import PredictOptions
from napari_unet.inference.rescaling import Rescaling

if TYPE_CHECKING:
    from napari_unet.inference.predictor import Predictor

Floats = npt.NDArray[np.float64]

SCALES = (0.25, 0.5, 1.0, 2.0, 4.0)
WINDOWS = 3  # at each scale
_EDGES = {2: (1, 320, 320), 3: (32, 80, 80)}  # voxels that the network sees of a window
_CANDIDATES = 24  # places among which the windows are chosen
_LOOK = 64  # edge of what is read of a candidate
_FEWEST = 4  # objects that a diameter is told from
_BELIEVED = 1.0  # octaves by which objects may differ from what the network knows and still count in half
_WIDTH = 0.5  # octaves within which objects are of one size


@dataclass(frozen=True, eq=False)
class Votes:
    """Objects found at one scale.

    Parameters
    ----------
    scale : float
        Of the network's grid: voxels of the network per voxel of the image.
    diameter : ndarray of float64, (n,)
        In voxels of the image.
    weight : ndarray of float64, (n,)
        Which share of what was looked at each covers, less where the network is in doubt.
    """

    scale: float
    diameter: Floats
    weight: Floats


class Sizes:
    """How large the objects of some images are; each is looked at once."""

    def __init__(self) -> None:
        self._found: dict[tuple[object, ...], FoundSize] = {}

    def of(
        self,
        predictor: Predictor,
        source: ImageSource,
        statistics: Statistics | None = None,
        between: Callable[[], object] | None = None,
    ) -> FoundSize | None:
        """Estimate how large the objects of an image are.

        Parameters
        ----------
        predictor, source, between
            See `find_size`.
        statistics : Statistics, optional
            Of the whole image; measured if omitted.

        Returns
        -------
        FoundSize or None
            None if the options do not ask for it, or it is known how the image is to be rescaled.
        """
        if not wants_estimate(source, predictor.checkpoint.header, predictor.options):
            return None
        key = (sample_of(source), source.shape, source.channels)
        if key not in self._found:
            if statistics is None or len(statistics.offset) != predictor.checkpoint.header.in_channels:
                statistics = predictor.measure(source)
            self._found[key] = find_size(predictor, source, statistics, between)
        return self._found[key]


def find_size(
    predictor: Predictor, source: ImageSource, statistics: Statistics, between: Callable[[], object] | None = None
) -> FoundSize:
    """Estimate how large the objects of an image are.

    Parameters
    ----------
    predictor : Predictor
        Of a model with objects that says how large those are that it knows.
    source : ImageSource
        The image.
    statistics : Statistics
        Of the whole image.
    between : callable, optional
        Called before each window; it may raise to stop.

    Returns
    -------
    FoundSize
    """
    header = predictor.checkpoint.header
    centres = _centres(source)
    found, places = [], 1
    for scale in SCALES:
        windows = {(t, _window(source.shape[1:], _EDGES[header.ndim], centre, scale)) for t, centre in centres}
        parts = []
        for t, corners in sorted(windows):
            if between is not None:
                between()
            parts.append(_votes(predictor, source, statistics, t, as_box(*corners), scale))
        places = max(places, len(windows))
        diameter, weight = (np.concatenate(values) for values in zip(*parts, strict=True))
        found.append(Votes(scale, diameter, weight / len(windows)))
    edges = " × ".join(str(n) for n in _EDGES[header.ndim][3 - header.ndim :])
    many = f"up to {places} places" if places > 1 else "one place"
    return elect(found, header.object_diameter or 1.0, f"{many} of {edges} voxels at {len(SCALES)} scales", header.ndim)


def elect(votes: Sequence[Votes], known: float, sample: str, ndim: int = 2) -> FoundSize:
    """Return the diameter on which most votes of all scales agree.

    Parameters
    ----------
    votes : sequence of Votes
        One per scale.
    known : float
        Diameter that the network knows, in its own voxels: objects of that size are believed most.
    sample : str
        What was looked at, in words.
    ndim : int
        2 or 3.

    Returns
    -------
    FoundSize
        The median of the objects within half an octave of where most scales agree.
    """
    octave = np.log2(np.concatenate([one.diameter for one in votes]))
    seen = np.log2(np.concatenate([one.diameter * one.scale for one in votes]) / known)
    covered = np.concatenate([one.weight for one in votes]) * np.exp2(-((seen / _BELIEVED) ** 2))
    scale = np.repeat(np.arange(len(votes)), [one.diameter.size for one in votes])
    if octave.size < _FEWEST:
        return FoundSize(None, 0, sample)
    # By area alone few blobs outvote many objects, by number specks do: between the two, nearer to the area.
    weight = covered / np.exp2(ndim * octave / 4)
    places = np.arange(octave.min(), octave.max() + 0.05, 0.1)
    close = weight * np.exp2(-(((octave - places[:, np.newaxis]) / _WIDTH) ** 2))
    density = np.stack([close[:, scale == k].sum(axis=1) for k in range(len(votes))])
    agreed = density.sum(axis=0) - density.max(axis=0)
    near = np.abs(octave - places[int(np.argmax(agreed))]) <= _WIDTH
    if near.sum() < _FEWEST or not agreed.any():
        return FoundSize(None, 0, sample)
    # Shares of the image, divided by the size of the objects, are numbers of objects.
    number = covered[near] / np.exp2(ndim * octave[near])
    return FoundSize(float(np.exp2(_median(octave[near], number))), int(near.sum()), sample)


def _median(values: Floats, weights: Floats) -> float:
    order = np.argsort(values)
    cumulative = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(cumulative, cumulative[-1] / 2)])


def _centres(source: ImageSource) -> list[tuple[int, Triple]]:
    """Return (t, (z, y, x)) of the places with the most contrast among evenly spread ones, the same each time."""
    size = np.asarray(source.shape)
    # Multiples of powers of the generalized golden ratio fill a box evenly (Roberts 2018, the sequence R4).
    steps = 1.1673039782614187 ** -np.arange(1.0, 5.0)
    candidates = np.floor((0.5 + np.outer(np.arange(_CANDIDATES), steps)) % 1 * size).astype(int)
    contrast = []
    for t, *centre in candidates:
        box = as_box(*_window(source.shape[1:], (1, _LOOK, _LOOK), triple(centre), 1.0))
        values = source.read(int(t), box).astype(np.float64)
        values = values[np.isfinite(values)]
        contrast.append(float(values.std()) if values.size else 0.0)
    best = np.argsort(-np.asarray(contrast), kind="stable")[:WINDOWS]
    return [(int(candidates[k][0]), triple(candidates[k][1:])) for k in best]


def _window(shape: Sequence[int], edges: Triple, centre: Triple, scale: float) -> tuple[Triple, Triple]:
    """Return the corners of the box around a place that the network sees as large as `edges`, inside the image."""
    scales = (scale if edges[0] > 1 else 1.0, scale, scale)
    start, stop = [], []
    for n, edge, middle, factor in zip(shape, edges, centre, scales, strict=True):
        length = min(n, max(1, round(edge / factor)))
        first = min(max(0, middle - length // 2), n - length)
        start.append(first)
        stop.append(first + length)
    return triple(start), triple(stop)


def _votes(
    predictor: Predictor, source: ImageSource, statistics: Statistics, t: int, box: Box, scale: float
) -> tuple[Floats, Floats]:
    """Return diameters and weights of the objects that the network finds in a window."""
    header = predictor.checkpoint.header
    matched, _ = matched_source(crop_source(source, t, box), header)
    lengths = extent(box)
    scales = (scale if header.ndim == 3 else 1.0, scale, scale)
    size = triple(max(1, round(n * factor)) for n, factor in zip(lengths, scales, strict=True))
    seen = matched if size == lengths else Rescaling(lengths, size).source(matched)
    plain = predictor.with_options(PredictOptions(rescale=False, memory_gb=predictor.options.memory_gb))
    scores = plain.predict(seen, statistics=statistics).reshape(header.out_channels, *size)
    labels = decode(scores, header.output, ObjectSettings(connected=True))
    voxels = np.bincount(labels.ravel())
    sure = scores[0] if len(scores) == 1 else scores.max(axis=0)
    doubt = np.bincount(labels.ravel(), 1 - sure.ravel()) / np.maximum(voxels, 1)
    # What the window cuts says nothing about its size.
    cut = np.concatenate([labels[:, edge].ravel() for edge in (0, -1)] + [labels[:, :, e].ravel() for e in (0, -1)])
    voxels[0] = voxels[cut] = 0
    whole = voxels > 0
    sizes = voxels[whole] * depth_of_voxels(source) if header.ndim == 3 else voxels[whole]
    diameter = equivalent_diameters(sizes, header.ndim) / scale
    return diameter, voxels[whole] / labels.size * np.clip(1 - 2 * doubt[whole], 0, 1)
