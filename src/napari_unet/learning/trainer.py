"""One round of training: a copy of the network, a budget, the best kept. Torch is imported when a trainer is made."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.errors import DeviceError, TrainingError, UserError
from napari_unet.learning.budget import LOSSES, Budget, has_learned, rate_factor
from napari_unet.learning.preparation import check_classes, halved, matched, mean, patch_size
from napari_unet.learning.rehearsal import rehearsal_for
from napari_unet.learning.reports import TrainReport, TrainResult
from napari_unet.learning.sampler import Batch, Sampler
from napari_unet.learning.samples import TrainingRegion
from napari_unet.learning.scoring import Scoring, trust_in
from napari_unet.learning.settings import TrainSettings

if TYPE_CHECKING:
    from napari_unet.model.checkpoint import Checkpoint

__all__ = ["TrainReport", "TrainResult", "TrainSettings", "Trainer"]

REPORT_EVERY = 0.1
STATISTICS_BATCHES = 4
TRUST_DRAWS = range(-4, 0)  # batches by whose patches a parent is judged


class Trainer:
    """Trains a copy of a network on what is known.

    Parameters
    ----------
    checkpoint : Checkpoint
        Where training starts.
    regions, validation : sequence of TrainingRegion
        Crops to learn from and crops held back, as `napari_unet.learning.samples.hold_back` splits them.
    settings : TrainSettings
        Budget and everything else.

    Raises
    ------
    TrainingError
        If nothing is known, only one class is known, or the crops do not fit the model.
    DeviceError
        If the device is not available.

    Examples
    --------
    >>> trainer = Trainer(checkpoint, split.training, split.validation)  # doctest: +SKIP
    >>> reports = list(trainer.run())  # doctest: +SKIP
    >>> trainer.result.decision.sentence  # doctest: +SKIP
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        regions: Sequence[TrainingRegion],
        validation: Sequence[TrainingRegion] = (),
        settings: TrainSettings | None = None,
    ) -> None:
        from napari_unet.learning.choice import Choice
        from napari_unet.learning.learner import Learner

        self.settings = settings or TrainSettings()
        header = checkpoint.header
        everything = [matched(region, checkpoint) for region in (*regions, *validation)]
        check_classes(everything, checkpoint)
        self._regions = [region for region in everything[: len(regions)] if region.known.any()]
        if not self._regions:
            raise TrainingError(
                "Nothing is known yet, so there is nothing to learn from.",
                "Paint what is wrong, or accept what is right.",
            )
        self._scoring = Scoring(everything[len(regions) :], checkpoint)
        augment = self.settings.augment
        self._sampler = Sampler(
            self._regions, header.output, header.ndim, augment, bend=augment and not self.settings.short
        )
        self._learner = Learner(checkpoint, self.settings)
        self._patch = patch_size(self.settings.patch, self._regions, checkpoint)
        self._batch = self.settings.batch
        self._choice = Choice(self._learner, self._scoring)
        self._parent_scores: tuple[float, ...] = ()
        self._losses: list[float] = []
        self._budget = Budget(self.settings)
        self._restarted = False
        self._trust: float | None = None  # in the parent, told before the first step
        self._rehearsal = rehearsal_for(self._learner)
        self._result: TrainResult | None = None

    @property
    def result(self) -> TrainResult:
        """What training gave.

        Raises
        ------
        TrainingError
            If `run` has not ended.
        """
        if self._result is None:
            raise TrainingError("Training has not ended.", "Run the trainer to its end first.")
        return self._result

    def run(self, should_stop: Callable[[], bool] = lambda: False) -> Iterator[TrainReport]:
        """Train until the budget is spent, or `should_stop`, asked before every step, returns True.

        Yields
        ------
        TrainReport
            At most ten a second, and one at the end.

        Raises
        ------
        TrainingError
            If the loss is no number twice.
        DeviceError
            If not even one small patch fits into memory.
        """
        from napari_unet.learning.pseudolabels import with_pseudo_labels

        learner, budget = self._learner, self._budget
        budget.start()
        reported = -math.inf
        self._parent_scores = self._parent_scores or self._scoring.score(learner, should_stop)
        cost = budget.tick() if self._scoring.blocks else 0.0
        scored = budget.elapsed
        if learner.new and learner.step_count == 0:
            learner.take_statistics(self._draw(-1 - number) for number in range(STATISTICS_BATCHES))
            self._choice.begin()
        if self._trust is None:
            self._trust = self._trust_in_parent()
        learner.hold_to_parent(self._trust)
        yield self._report()
        self._sampler.teach(with_pseudo_labels(self._regions, learner.header, self.settings, should_stop))
        budget.tick()
        budget.ready = budget.elapsed if learner.step_count == 0 else 0.0
        reason, last_looks = "budget", 1 if learner.new else 2  # the second halfway to the parent
        while budget.progress(learner.step_count, last_looks * cost) < 1:
            if should_stop():
                reason = "cancelled"
                break
            if budget.elapsed >= reported + REPORT_EVERY:
                reported = budget.elapsed
                yield self._report()
            self._step()
            budget.tick()
            if has_learned(self.settings, self._losses, learner.step_count, learner.header.ndim):
                reason = "learned"
                break
            if self._scoring.blocks and budget.score_is_due(learner.step_count, budget.elapsed - scored, cost):
                self._choice.look(should_stop)
                cost, scored = budget.tick(), budget.elapsed
        if reason != "cancelled":
            if self._scoring.blocks:
                self._choice.look(should_stop)
            if not self.settings.short:
                self._choice.go_halfway(self._trust, should_stop)
        budget.tick()
        self._result = TrainResult(
            checkpoint=learner.candidate(self._choice.weights),
            parent_scores=self._parent_scores,
            scores=self._choice.scores,
            stopped_because=reason,
            steps=learner.step_count,
            seconds=budget.elapsed,
        )
        yield self._report()

    def save_state(self, path: str | Path) -> Path:
        """Write everything that a later run needs to go on, as one safetensors file with a JSON header."""
        from napari_unet.learning.resume import write_state

        learner = self._learner
        values = {
            "steps": learner.step_count,
            "slow_down": learner.slow_down,
            "elapsed": self._budget.elapsed,
            "batch": self._batch,
            "patch": list(self._patch),
            "restarted": self._restarted,
            "trust": self._trust,
            "parent_scores": list(self._parent_scores),
            "losses": self._losses,
        }
        tensors, scores = self._choice.state()
        return write_state(path, learner.state() | tensors, values | {"scores": scores})

    def load_state(self, path: str | Path) -> None:
        """Go on where `save_state` was called; checkpoint, crops and settings must be the same.

        Raises
        ------
        TrainingError
            If the file is damaged or belongs to another network.
        """
        from napari_unet.learning.resume import read_state

        tensors, values = read_state(path)
        try:
            self._learner.load_state(tensors, int(values["steps"]), float(values["slow_down"]))
        except (RuntimeError, ValueError, KeyError) as error:
            raise TrainingError(
                f"The training state {str(path)!r} does not belong to this model.", "Start the round again."
            ) from error
        self._choice.load_state(tensors, values["scores"])
        self._budget.elapsed, self._batch = float(values["elapsed"]), int(values["batch"])
        self._patch = (values["patch"][0], values["patch"][1], values["patch"][2])
        self._restarted, self._trust = bool(values["restarted"]), values["trust"]
        self._parent_scores = tuple(values["parent_scores"])
        self._losses = list(values["losses"])

    # ---- inside --------------------------------------------------------------------------------

    def _trust_in_parent(self) -> float:
        if self._learner.new:
            return 0.0
        draws = TRUST_DRAWS[-1:] if self.settings.short else TRUST_DRAWS
        return trust_in(self._learner, map(self._draw, draws))

    def _step(self) -> None:
        """Take one step; recover once from a loss that is no number, and from memory running out."""
        done = self._learner.step_count
        progress = min(1.0, self._budget.progress(done))
        rate = rate_factor(progress, done)
        batch = self._draw(done)
        failed = False
        try:
            freeze = progress >= self.settings.statistics_share
            rehearsed = None if self._rehearsal is None else self._rehearsal.beside(batch, done)
            loss = self._learner.step(batch, rate, freeze, rehearsed)
        except UserError:
            raise
        except Exception as error:
            from napari_unet.inference.network.devices import is_out_of_memory

            if not is_out_of_memory(error):
                raise TrainingError(
                    f"The network failed in training: {type(error).__name__}: {error}.",
                    "Check that the model takes this number of channels and dimensions.",
                ) from error
            failed = True
        # Outside the handler, whose traceback would keep the tensors alive.
        if failed:
            self._shrink()
        elif math.isfinite(loss):
            self._losses = [*self._losses[1 - LOSSES :], loss]
        else:
            self._go_back()

    def _draw(self, number: int) -> Batch:
        """Draw the batch of a step; batches below 0 are for statistics."""
        generator = np.random.default_rng((self.settings.seed, number % 2**32))
        return self._sampler.draw(self._batch, self._patch, generator)

    def _shrink(self) -> None:
        """Halve the batch, then the patch."""
        self._learner.release()
        smaller = halved(self._patch, self._learner.checkpoint)
        if self._batch > 1:
            self._batch //= 2
        elif smaller != self._patch:
            self._patch = smaller
        else:
            raise DeviceError(
                f"Memory ran out on {self._learner.device.name} while training on one patch of {self._patch} voxels.",
                "Close other programs, or train on another device or a smaller model.",
            )

    def _go_back(self) -> None:
        if self._restarted:
            raise TrainingError(
                "Training diverged twice: the loss became infinite or no number.",
                "Check the image for extreme values, or start from another model.",
            )
        self._restarted = True
        self._learner.restart(self._choice.safe, 0.2)

    def _report(self) -> TrainReport:
        budget, steps, done = self._budget, self._learner.step_count, self._result is not None
        return TrainReport(
            step=steps,
            seconds=budget.elapsed,
            seconds_left=0.0 if done else budget.seconds_left(steps),
            loss=float(np.mean(self._losses)) if self._losses else math.nan,
            score=self._choice.latest,
            parent_score=mean(self._parent_scores),
            best_score=mean(self._choice.scores),
            progress=1.0 if done else min(1.0, budget.progress(steps)),
        )
