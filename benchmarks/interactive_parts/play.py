"""One run: an annotator, a rule, rounds of training at fixed annotated seconds, and scores on untouched images."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from unittest.mock import patch

from interactive_parts.annotator import Annotator
from interactive_parts.clock import Spent, measured, processor_clock
from interactive_parts.rules.base import Rule
from interactive_parts.rules.ours import Ours
from interactive_parts.task import Labels, Score, Task, mean_score, score_all, score_one
from interactive_parts.work import Deed, Work
from napari_unet.image.source import ImageSource

BUDGETS = (60.0, 180.0, 600.0)
ROUND_SECONDS = 60.0


@dataclass(frozen=True, eq=False)
class Row:
    """What one round gave; scores are on images that nothing ever saw.

    Parameters
    ----------
    annotated : float
        Annotated seconds so far.
    score : Score
        Of the model that is current after the round and its decision.
    before, candidate : Score or None
        Of the model before the round (None if there was none), and of what the round trained.
    forgetting, at_start : float or None
        AP at 0.5 on images of the parent's kind, of the model that is current and of the starting model.
    verdict, note : str
        See `Outcome`.
    steps, known : int
        Optimization steps; known voxels.
    spent : Spent
        Seconds of training.
    truth : str
        Hash of what was known.
    """

    annotated: float
    score: Score
    before: Score | None
    candidate: Score
    forgetting: float | None
    at_start: float | None
    verdict: str
    note: str
    steps: int
    known: int
    spent: Spent
    truth: str


@lru_cache(maxsize=2)
def record(task: Task, seed: int, last: float = BUDGETS[-1]) -> tuple[Deed, ...]:
    """Record what the annotator does in `last` seconds, seeing no prediction but the starting model's.

    In a task from nothing no prediction is seen at all. The same task and seed give the same deeds, and what one
    process has recorded it gives to every rule.
    """
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name, processor_clock():
        work = Work(task, seed, Path(name))
        rule = Ours(task, seed, Path(name))
        rule.begin(work)
        if task.parent is None:
            work.detach()

        def opened(index: int) -> None:
            if task.parent is not None:
                rule.open_image(work, index)

        Annotator(task, seed).work_until(last, work, opened)
        work.close()
        return tuple(work.deeds)


def play(
    rule: Rule,
    protocol: str,
    folder: Path,
    budgets: Sequence[float] = BUDGETS,
    seconds: float = ROUND_SECONDS,
) -> Iterator[Row]:
    """Play one run and yield a row after each round.

    Parameters
    ----------
    rule : Rule
        Fresh, with its task and seed.
    protocol : {"replay", "closed"}
        ``replay``: the recorded deeds. ``closed``: an annotator of the same seed, who sees what this rule predicts.
    folder : Path
        For models and scores.
    budgets : sequence of float
        Annotated seconds after which a round is trained.
    seconds : float
        Of the processor, at most, for a round.
    """
    task = rule.task
    deeds = record(task, rule.seed, max(budgets)) if protocol == "replay" else ()
    annotator = Annotator(task, rule.seed)
    with processor_clock(), general_parent_is(rule.general(task)), closing(Work(task, rule.seed, folder)) as work:
        rule.begin(work)
        before = _score(task, rule.predict)
        at_start = _forgetting(task, rule)

        def opened(index: int) -> None:
            rule.open_image(work, index)

        done = 0.0
        for budget in budgets:
            if protocol == "replay":
                work.replay([deed for deed in deeds if done < deed.seconds <= budget], opened)
            else:
                annotator.work_until(budget, work, opened)
            done = budget
            if rule.number == 0 and rule.lives_in_session:
                before = _score(task, rule.predict)  # a first round may have run by itself
            rule.number += 1
            with measured() as spent:
                outcome = rule.round(work, seconds)
            candidate = score_all(task, task.test, outcome.candidate)
            adopted = outcome.verdict not in ("keep", "preliminary-discarded")
            score = candidate if adopted or before is None else before
            yield Row(
                annotated=budget,
                score=score,
                before=before,
                candidate=candidate,
                forgetting=_forgetting(task, rule),
                at_start=at_start,
                verdict=outcome.verdict,
                note=outcome.note,
                steps=outcome.steps,
                known=work.n_known,
                spent=spent,
                truth=work.fingerprint(),
            )
            before = score


def general_parent_is(general: str | None) -> AbstractContextManager[object]:
    """Let `general` stand in for the built-in general parents, which have seen the data; None for none.

    The models that the product starts from strokes go on from it in their first whole round.
    """
    return patch("napari_unet.learning.quick.general_parent", return_value=general)


def _score(task: Task, predict: Callable[[ImageSource], Labels | None]) -> Score | None:
    """Score a rule on the untouched images; None if it has no model yet."""
    scores = []
    for example in task.test:
        found = predict(example.source)
        if found is None:
            return None
        scores.append(score_one(task, example.truth, found))
    return mean_score(scores)


def _forgetting(task: Task, rule: Rule) -> float | None:
    """Return the AP of a rule's current model on images of the parent's kind; None where it cannot forget."""
    if not task.forget or not rule.inherits:
        return None
    found = [(example, rule.predict(example.source)) for example in task.forget]
    scores = [score_one(task, example.truth, labels).score for example, labels in found if labels is not None]
    return sum(scores) / len(scores) if scores else None
