"""(c) Cellpose's rule: from the base on everything in each round, on dense crops."""

from __future__ import annotations

import time
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from interactive_parts.rules.base import Outcome, Rule, load, predictor_of
from interactive_parts.rules.patches import PATCH, Ready, cut, flipped, random_corner, ready, size_for
from interactive_parts.work import Known, Work

EPOCHS, WARM_UP = 100, 10
DECAY = 0.1
# Cellpose trains its transformer with 1e-5; at that rate this U-Net hardly moves within a minute, so it gets the rates
# that suit it: the favourable reading of the rule.
RATE, RATE_FROM_NOTHING = 1e-3, 3e-3
CELL = 64  # px; a cell of this grid in which something is known counts as labelled densely


class Cellpose(Rule):
    """Always starts again from the starting model and learns all labelled crops; last weights kept.

    As in Cellpose (C. Stringer, M. Pachitariu, "Cellpose 2.0: how to train your own model", Nature Methods 19, 2022)
    there is no ignore mask: what is not labelled in a crop is background. AdamW, weight decay 0.1, batch 1, crops of
    256 px, 100 epochs with 10 of warm-up, within the same seconds. The network, its output and its loss (cross entropy
    and Dice) are ours.
    """

    name: ClassVar[str] = "cellpose"

    def round(self, work: Work, seconds: float) -> Outcome:
        """Train from the base for 100 epochs or until the seconds are over."""
        import torch
        from torch.nn import functional

        from interactive_parts.rules.network import Network

        begin = time.process_time()
        torch.manual_seed(self.seed)
        generator = np.random.default_rng((33, self.seed, self.number))
        checkpoint = load(self.task, self.seed)
        network = Network(checkpoint, self.task.parent is None)
        images = [self._dense(one, checkpoint.header) for one in work.snapshot()]
        rate = RATE_FROM_NOTHING if self.task.parent is None else RATE
        optimizer = torch.optim.AdamW(network.module.parameters(), lr=rate, weight_decay=DECAY)
        steps, per_epoch = 0, len(images)
        while steps < EPOCHS * per_epoch and time.process_time() - begin < seconds:
            for group in optimizer.param_groups:
                group["lr"] = rate * min(1.0, (steps / per_epoch + 1) / WARM_UP)
            image = images[int(generator.integers(len(images)))]
            size = size_for(image, PATCH[self.task.ndim], checkpoint.geometry.divisor)
            for _ in range(200):
                patch = cut(image, size, random_corner(image, size, generator))
                if patch[2].any():
                    break
            picture, target, dense = flipped(patch, generator)
            network.train()
            where = torch.from_numpy(np.ascontiguousarray(dense))[None]
            logits = network.logits(np.ascontiguousarray(picture)).movedim(1, -1)[where]
            truth = torch.from_numpy(np.ascontiguousarray(target))[None][where]
            scores, share = logits.softmax(1), functional.one_hot(truth, logits.shape[1]).float()
            dice = 1 - ((2 * (scores * share).sum(0) + 1) / ((scores + share).sum(0) + 1)).mean()
            loss = functional.cross_entropy(logits, truth) + dice
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            steps += 1
        self.current = predictor_of(network.saved())
        return Outcome("adopt", self.current, steps, f"{len(images)} images")

    def _dense(self, one: Known, header) -> Ready:  # type: ignore[no-untyped-def]
        """Take every cell with something known as labelled: what nobody labelled in it is background."""
        dense = np.zeros(one.known.shape, bool)
        for z in np.flatnonzero(one.known.any(axis=(1, 2))):
            _fill(dense[z], one.known[z])
        return ready(one, header, np.where(one.known, one.labels, 0), dense)


def _fill(dense: npt.NDArray[np.bool_], known: npt.NDArray[np.bool_]) -> None:
    for y in range(0, known.shape[0], CELL):
        for x in range(0, known.shape[1], CELL):
            cell = (slice(y, y + CELL), slice(x, x + CELL))
            dense[cell] = known[cell].any()
