"""(b) RootPainter's loss, optimiser, sampling and stopping rule on our network."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import numpy.typing as npt

from interactive_parts.rules.base import Outcome, Rule, load, predictor_of
from interactive_parts.rules.patches import PATCH, Ready, cut, disturbed, flipped, random_corner, ready, size_for
from interactive_parts.task import Task
from interactive_parts.work import Work

if TYPE_CHECKING:
    import torch

    from interactive_parts.rules.network import Network
    from napari_unet.model.checkpoint import Checkpoint

RATE, MOMENTUM = 0.01, 0.99
EPOCH = 612  # tiles, or twice the number of annotated images where that is more
PATIENCE = 60  # epochs without progress after which it stops
TRIES = 200  # times that a crop is drawn again until it holds annotation
TRAIN_PER_VALIDATION = 5


class RootPainter(Rule):
    """RootPainter's way (A. G. Smith et al., New Phytologist 236, 2022), with our network and our patches.

    Its images are our images cut into tiles of one patch: the first annotated tile trains, the second validates, then
    one validates for five that train. A tile is drawn evenly, and a crop of it until something is annotated. The model
    of the end of an epoch, or of the round, is kept if its F1 at annotated voxels is higher.
    """

    name: ClassVar[str] = "rootpainter"

    def __init__(self, task: Task, seed: int, folder: Path) -> None:
        super().__init__(task, seed, folder)
        self._parts: dict[tuple[int, ...], str] = {}
        self._generator = np.random.default_rng((32, seed))

    def begin(self, work: Work) -> None:
        """Load the starting checkpoint."""
        super().begin(work)
        self.checkpoint: Checkpoint = load(self.task, self.seed)

    def round(self, work: Work, seconds: float) -> Outcome:
        """Train until the seconds are over or nothing was gained for 60 epochs."""
        import torch

        from interactive_parts.rules.network import Network

        begin = time.process_time()
        torch.manual_seed(self.seed * 1009 + self.number)
        network = Network(self.checkpoint, self.task.parent is None)
        header = self.checkpoint.header
        images = {k.index: ready(k, header, k.labels, k.known) for k in work.snapshot()}
        train, validation = self._split(images)
        optimizer = torch.optim.SGD(network.module.parameters(), lr=RATE, momentum=MOMENTUM, nesterov=True)
        best, best_score = self.checkpoint, self._f1(network, validation) if self.current else -1.0
        steps = since = 0
        cost = time.process_time() - begin
        epoch = max(EPOCH, 2 * len(self._parts))
        while time.process_time() - begin < seconds - cost and since < PATIENCE:
            network.train()
            tile = train[int(self._generator.integers(len(train)))]
            loss = defined_loss(network, *self._crop(tile))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            steps += 1
            if steps % epoch == 0:
                start = time.process_time()
                best, best_score, gained = self._kept(network, validation, best, best_score)
                since = 0 if gained else since + 1
                cost = time.process_time() - start
        best, best_score, _ = self._kept(network, validation, best, best_score)
        self.checkpoint = best
        self.current = predictor_of(best)
        note = f"{len(train)} tiles train, {len(validation)} validate, F1 {best_score:.3f}"
        return Outcome("adopt", self.current, steps, note)

    def _split(self, images: dict[int, Ready]) -> tuple[list[Ready], list[Ready]]:
        """Cut images into tiles and give each new annotated one to its part, for good."""
        size = PATCH[self.task.ndim]
        parts: dict[str, list[Ready]] = {"train": [], "validation": []}
        for index, image in images.items():
            starts = [range(0, n, s) for n, s in zip(image.target.shape, size, strict=True)]
            for corner in np.ndindex(*(len(r) for r in starts)):
                box = tuple(slice(i * s, (i + 1) * s) for i, s in zip(corner, size, strict=True))
                tile = Ready(index, image.image[(slice(None), *box)], image.target[box], image.known[box])
                if tile.known.any():
                    key = (index, *corner)
                    self._parts.setdefault(key, self._next_part())
                    parts[self._parts[key]].append(tile)
        return parts["train"], parts["validation"]

    def _next_part(self) -> str:
        given = list(self._parts.values())
        n_train, n_validation = given.count("train"), given.count("validation")
        if n_train == 0 or (n_validation > 0 and n_train < TRAIN_PER_VALIDATION * n_validation):
            return "train"
        return "validation"

    def _crop(self, tile: Ready) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        size = size_for(tile, PATCH[self.task.ndim], self.checkpoint.geometry.divisor)
        for _ in range(TRIES):
            patch = cut(tile, size, random_corner(tile, size, self._generator))
            if patch[2].any():
                break
        image, target, known = flipped(disturbed(patch, self._generator), self._generator)
        return image, target, known

    def _kept(
        self, network: Network, validation: list[Ready], best: Checkpoint, best_score: float
    ) -> tuple[Checkpoint, float, bool]:
        """Keep the model of now if its F1 is higher; without annotated validation the newest is kept."""
        score = self._f1(network, validation)
        if not validation or score > best_score:
            return network.saved(), score, True
        return best, best_score, False

    def _f1(self, network: Network, validation: list[Ready]) -> float:
        """Return the mean F1 of the classes but the background, at annotated voxels of all validation tiles."""
        channels = self.checkpoint.header.out_channels
        hits, found, true = np.zeros(channels), np.zeros(channels), np.zeros(channels)
        for tile in validation:
            size = size_for(tile, tile.target.shape, self.checkpoint.geometry.divisor)  # type: ignore[arg-type]
            image, target, known = cut(tile, size, (0, 0, 0))
            answer = network.answer(image)[known]
            hits += np.bincount(answer[answer == target[known]], minlength=channels)
            found += np.bincount(answer, minlength=channels)
            true += np.bincount(target[known], minlength=channels)
        real = true[1:] > 0
        return float(np.mean((2 * hits / np.maximum(found + true, 1))[1:][real])) if real.any() else 0.0


def defined_loss(
    network: Network,
    image: npt.NDArray[np.float32],
    target: npt.NDArray[np.int64],
    known: npt.NDArray[np.bool_],
) -> torch.Tensor:
    """Return Dice + 0.3 CE of logits that are set to zero where nothing is annotated, as RootPainter has it.

    The unknown gets no gradient but stays in both denominators, so the gradient shrinks with the annotated area.
    """
    import torch
    from torch.nn import functional

    defined = torch.from_numpy(np.ascontiguousarray(known))[None, None]
    truth = torch.from_numpy(np.ascontiguousarray(np.where(known, target, 0)))[None]
    logits = network.logits(image) * defined
    scores = logits.softmax(1)[:, 1:]
    share = functional.one_hot(truth, logits.shape[1]).movedim(-1, 1)[:, 1:].float()
    axes = (0, 2, 3, 4)
    dice = 1 - ((2 * (scores * share).sum(axes) + 1e-6) / ((scores + share).sum(axes) + 1e-6)).mean()
    return dice + 0.3 * functional.cross_entropy(logits, truth)
