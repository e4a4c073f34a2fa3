"""Pseudo-labels: what a pixel classifier on filter responses makes of the unknown, for the network to learn from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import product

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from napari_unet.image.boxes import Box, Triple
from napari_unet.inference.network.devices import limited_threads
from napari_unet.learning.filters import filter_features
from napari_unet.learning.regions import TrainingRegion
from napari_unet.learning.settings import TrainSettings
from napari_unet.learning.targets import targets
from napari_unet.model.header import CheckpointHeader

Floats = npt.NDArray[np.float32]

PIECE: dict[int, Triple] = {2: (1, 512, 512), 3: (32, 128, 128)}  # filtered at once, less if there are channels
PIECE_VALUES = 2**19  # voxels times channels of a piece; each has some 60 responses
MOST_VALUES = {2: 2**21, 3: 2**20}  # voxels times channels that are filtered in a full round: some six seconds
FEWEST_KNOWN = {2: 30_000, 3: 11_000}  # voxels; of fewer the classifier makes up more than it knows
FULL_ROUND, FULL_ROUND_STEPS = 60.0, 300  # seconds or steps; shorter rounds filter less
MOST_SAMPLES = 15_000  # known voxels per class
HIDDEN = 64
DROPOUT = 0.2
STEPS, BATCH, RATE, DECAY = 300, 2048, 5e-3, 1e-3
OUTLIER = 5.0  # standard deviations at which responses are clipped
PREDICTED = 2**16  # voxels at once

Piece = tuple[int, Box]


class PixelClassifier:
    """A small perceptron from the filter responses at a voxel to its class.

    Parameters
    ----------
    values : ndarray of float32, (n, features)
        Responses at known voxels.
    classes : ndarray of int64, (n,)
        Their channel indices; two or more different ones.
    count : int
        Channels of the scores.
    seed : int
        Of weights, batches and dropout: the same give the same classifier.
    should_stop : callable
        Asked before each step of its training, which ends if it returns True.
    """

    def __init__(
        self,
        values: Floats,
        classes: npt.NDArray[np.int64],
        count: int,
        seed: int = 0,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self._mean, self._deviation = values.mean(0), values.std(0) + 1e-6
        self._found, indices = np.unique(classes, return_inverse=True)
        self._count = count
        with torch.random.fork_rng([]):
            torch.manual_seed(seed)
            self._network = nn.Sequential(
                nn.Linear(values.shape[1], HIDDEN),
                nn.ReLU(),
                nn.Dropout(DROPOUT),
                nn.Linear(HIDDEN, HIDDEN),
                nn.ReLU(),
                nn.Dropout(DROPOUT),
                nn.Linear(HIDDEN, len(self._found)),
            )
            self._fit(self._standardized(values), torch.from_numpy(indices.astype(np.int64)), should_stop)

    def scores(self, values: Floats) -> Floats:
        """Return the scores (n, channels) of voxels from their responses (n, features)."""
        found = np.zeros((len(values), self._count), np.float32)
        with torch.no_grad():
            for start in range(0, len(values), PREDICTED):
                logits = self._network(self._standardized(values[start : start + PREDICTED]))
                found[start : start + PREDICTED, self._found] = logits.softmax(1).numpy()
        return found

    def _standardized(self, values: Floats) -> torch.Tensor:
        return torch.from_numpy(((values - self._mean) / self._deviation).clip(-OUTLIER, OUTLIER).astype(np.float32))

    def _fit(self, values: torch.Tensor, classes: torch.Tensor, should_stop: Callable[[], bool]) -> None:
        optimizer = torch.optim.AdamW(self._network.parameters(), lr=RATE, weight_decay=DECAY)
        falling = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, STEPS)
        for _ in range(STEPS):
            if should_stop():
                break
            drawn = torch.randint(len(values), (BATCH,))
            loss = functional.cross_entropy(self._network(values[drawn]), classes[drawn])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            falling.step()
        self._network.eval()


def with_pseudo_labels(
    regions: Sequence[TrainingRegion],
    header: CheckpointHeader,
    settings: TrainSettings,
    should_stop: Callable[[], bool] = lambda: False,
) -> list[TrainingRegion]:
    """Return crops with the scores of a pixel classifier that has learned from what is known in them.

    A network that knows a few strokes has seen little; filters that many generations have found useful make more of
    them. The classifier's answers on the unknown are uncertain, and many [1]_, [2]_.

    Parameters
    ----------
    regions : sequence of TrainingRegion
        With the network's channels.
    header : CheckpointHeader
        What the network's channels mean.
    settings : TrainSettings
        Budget, seed and threads. Of the crops, pieces drawn by the seed are filtered, at most `MOST_VALUES`.
    should_stop : callable
        Asked before each piece and each step; the crops come back as they are if it returns True.

    Returns
    -------
    list of TrainingRegion
        As they were where fewer than two classes are certain or fewer than `FEWEST_KNOWN` voxels are known, where most
        of these lie in crops that were mostly wrong, in short rounds, and if `teaching` is 0.

    References
    ----------
    .. [1] D.-H. Lee, "Pseudo-Label: The Simple and Efficient Semi-Supervised Learning Method for Deep Neural
       Networks", ICML Workshop on Challenges in Representation Learning, 2013.
    .. [2] G. Hinton, O. Vinyals, J. Dean, "Distilling the Knowledge in a Neural Network", arXiv:1503.02531, 2015.
    """
    known = sum(int(region.known.sum()) for region in regions)
    # A classifier that knows little but errors makes up that all was wrong.
    errors = sum(int(region.known.sum()) for region in regions if region.mostly_wrong)
    if settings.teaching == 0 or settings.short or known < FEWEST_KNOWN[header.ndim] or errors > known / 2:
        return list(regions)
    pieces = _drawn(regions, header, settings)
    with limited_threads(settings.threads):
        samples = _samples(regions, pieces, header, settings.seed, should_stop)
        if samples is None:
            return list(regions)
        count = max(header.out_channels, 2)
        classifier = PixelClassifier(*samples, count, settings.seed, should_stop)
        soft = {n: np.zeros((count, *regions[n].labels.shape), np.float32) for n in {number for number, _ in pieces}}
        for number, box in pieces:
            if should_stop():
                return list(regions)
            features = _features(regions[number], box, header.ndim)
            scores = classifier.scores(features.reshape(len(features), -1).T)
            soft[number][(slice(None), *box)] = scores.T.reshape(-1, *(part.stop - part.start for part in box))
    return [replace(region, soft=_joined(region.soft, soft.get(number))) for number, region in enumerate(regions)]


def _joined(first: Floats | None, second: Floats | None) -> Floats | None:
    """Return the scores of the first, and those of the second where it says nothing."""
    if first is None or second is None:
        return second if first is None else first
    return np.where(first.any(axis=0), first, second)


def _drawn(regions: Sequence[TrainingRegion], header: CheckpointHeader, settings: TrainSettings) -> list[Piece]:
    """Return pieces of crops, in a random order, as many as the budget allows, but one at least."""
    if settings.seconds is not None:
        share = min(1.0, settings.seconds / FULL_ROUND)
    else:
        share = min(1.0, (settings.steps or 0) / FULL_ROUND_STEPS)
    left = share * MOST_VALUES[header.ndim] / header.in_channels
    most = _piece(header.ndim, header.in_channels)
    pieces = [(n, box) for n, region in enumerate(regions) for box in _boxes(region.labels.shape, most)]
    chosen: list[Piece] = []
    for index in np.random.default_rng((settings.seed, len(pieces))).permutation(len(pieces)):
        if left > 0:
            chosen.append(pieces[index])
            left -= np.prod([part.stop - part.start for part in pieces[index][1]])
    return chosen


def _piece(ndim: int, channels: int) -> Triple:
    """Return how many voxels are filtered at once, (z, y, x)."""
    z, y, x = PIECE[ndim]
    while z * y * x * channels > PIECE_VALUES and y > 1:
        y, x = (y // 2, x) if y >= x else (y, x // 2)
    return z, y, x


def _boxes(shape: tuple[int, ...], most: Triple) -> Iterator[Box]:
    """Yield boxes that divide an array evenly, none larger than `most`."""
    counts = [-(-n // size) for n, size in zip(shape, most, strict=True)]
    for index in product(*(range(count) for count in counts)):
        z, y, x = (
            slice(i * n // count, (i + 1) * n // count) for i, n, count in zip(index, shape, counts, strict=True)
        )
        yield z, y, x


def _features(region: TrainingRegion, box: Box, ndim: int) -> Floats:
    image = region.image[(slice(None), *box)]
    return filter_features(image[:, 0] if ndim == 2 else image)


def _samples(
    regions: Sequence[TrainingRegion],
    pieces: Sequence[Piece],
    header: CheckpointHeader,
    seed: int,
    should_stop: Callable[[], bool],
) -> tuple[Floats, npt.NDArray[np.int64]] | None:
    """Return responses and classes of known voxels; None if there are fewer than two classes, or if stopped."""
    wanted = {number: _certain(regions[number], header) for number in {number for number, _ in pieces}}
    counts = np.zeros(max(header.out_channels, 2), np.int64)
    for number, box in pieces:
        target, certain = wanted[number]
        counts += np.bincount(target[box][certain[box]], minlength=len(counts))
    if np.count_nonzero(counts) < 2:
        return None
    share = np.minimum(1.0, MOST_SAMPLES / np.maximum(counts, 1))
    generator = np.random.default_rng((seed, 1))
    values, classes = [], []
    for number, box in pieces:
        if should_stop():
            return None
        target, certain = wanted[number][0][box], wanted[number][1][box]
        chosen = certain & (generator.random(certain.shape) < share[target])
        if chosen.any():
            features = _features(regions[number], box, header.ndim).reshape(-1, chosen.size)
            values.append(features[:, chosen.ravel()].T)
            classes.append(target[chosen])
    return np.concatenate(values), np.concatenate(classes)


def _certain(region: TrainingRegion, header: CheckpointHeader) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Return the channel of each voxel and where it is certain, (Z, Y, X)."""
    labels, known = (a if header.ndim == 3 else a[0] for a in (region.labels, region.known))
    target, certain = targets(labels, known, header.output)
    return np.where(certain, target, 0).reshape(region.labels.shape), certain.reshape(region.labels.shape)
