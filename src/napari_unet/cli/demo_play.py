"""The loop of the demo without a window: segment, correct, retrain, compare, export."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_unet.cli import console
from napari_unet.cli.demo_images import DemoImage
from napari_unet.cli.demo_user import Corrections, choose_windows, correct
from napari_unet.errors import CheckpointError, UserError
from napari_unet.jobs import JobRunner
from napari_unet.learning.evaluation import dice, match_objects
from napari_unet.project.folder import WorkFolder
from napari_unet.session.session import Session

WINDOW, WINDOWS = 128, 5


@dataclass(frozen=True, eq=False)
class Played:
    """One image after the loop.

    Parameters
    ----------
    image : DemoImage
        Image and truth.
    before, after : ndarray of int, (Y, X)
        Labels of the built-in model, and of the retrained one together with the corrections.
    known : ndarray of bool, (Y, X)
        What the user corrected or accepted; it does not count in the scores.
    corrections : Corrections
        What the user did.
    scores : dict
        Name of the score → (before, after).
    objects : int
        Objects of the truth that the scores count.
    """

    image: DemoImage
    before: npt.NDArray[Any]
    after: npt.NDArray[Any]
    known: npt.NDArray[np.bool_]
    corrections: Corrections
    scores: dict[str, tuple[float, float]]
    objects: int

    @property
    def better(self) -> bool:
        """Whether every score rose."""
        return all(after > before for before, after in self.scores.values())


def play(image: DemoImage, model: str, steps: int, seed: int, folder: Path, work: Path) -> Played:
    """Play the loop on one image and say what happens.

    Parameters
    ----------
    image : DemoImage
        Image and truth.
    model : str
        Built-in name or checkpoint file; it must find objects.
    steps : int
        Steps of training.
    seed : int
        Of the choice of windows and of the training.
    folder : Path
        Where the label TIFF goes.
    work : Path
        Where the session keeps its models.
    """
    session = Session(JobRunner("inline"), WorkFolder.create(work))
    session.settings = replace(session.settings, seed=seed)
    problems: list[str] = []
    session.events.message.connect(lambda level, text, _: problems.append(text) if level == "error" else None)

    def check() -> None:
        if problems:
            raise UserError(problems[0])

    session.select_model(model)
    header = session.need_model().header
    if not header.output.instances:
        raise CheckpointError(f"The demo needs a model that finds objects; {header.name!r} does not.", "Leave it out.")
    image_id = session.add_image(image.source)
    console.say(f"\n{image.source.name}: {image.recipe}.")
    with console.progress_bars() as bars:
        task = bars.add_task("segmenting", total=None, note="")
        start = time.perf_counter()
        session.segment(image_id)
        check()
        labels = session.labels_array(image_id)
        if labels is None:
            raise UserError("The image was not segmented.")
        before = labels.copy()
        console.say(f"  Segmented with {header.name}: {_count(before)} objects, {time.perf_counter() - start:.1f} s.")

        height, width = before.shape
        size = min(WINDOW, max(16, min(height, width) // 4))
        corrections = correct(session, image_id, image.truth, choose_windows((height, width), WINDOWS, size, seed))
        known = session.known_mask(image_id)
        untouched = ~known[0, 0].copy() if known is not None else np.ones(before.shape, bool)
        console.say(
            f"  A scripted user corrected {len(corrections.windows)} windows of {size} × {size} px by that truth: "
            f"deleted {corrections.deleted} objects, drew {corrections.drawn}, accepted the rest; "
            f"{corrections.known:.0%} of the image is known now."
        )

        def trained(name: str) -> None:
            if name == "train" and session.curve.loss:
                bars.update(task, note=f"loss {session.curve.loss[-1]:.3f}")

        bars.update(task, description="training", total=steps)
        session.events.job_changed.connect(trained)
        start = time.perf_counter()
        session.retrain(steps=steps)
        check()
        seconds = time.perf_counter() - start
        verdict = session.last_round.decision.sentence if session.last_round is not None else ""
        if session.round is not None:
            session.keep()
            verdict += " Here it is kept."
    console.say(f"  Retrained {steps} steps in {seconds:.0f} s. {verdict}")
    after = labels.copy()
    played = _scored(image, before, after, untouched, corrections)
    session.export_labels(image_id, folder / f"{image.source.name}_labels.tif", overwrite=True)
    check()
    session.close()
    return played


def _scored(
    image: DemoImage,
    before: npt.NDArray[Any],
    after: npt.NDArray[Any],
    untouched: npt.NDArray[np.bool_],
    corrections: Corrections,
) -> Played:
    """Score both only where the user said nothing."""
    matched = [match_objects(image.truth, labels, 0.5, untouched) for labels in (before, after)]
    scores = {
        "AP at IoU 0.5": (matched[0].average_precision, matched[1].average_precision),
        "Dice": (dice(image.truth, before, untouched), dice(image.truth, after, untouched)),
    }
    objects = matched[0].true_positives + matched[0].false_negatives
    return Played(image, before, after, ~untouched, corrections, scores, objects)


def _count(labels: npt.NDArray[Any]) -> int:
    return int(np.unique(labels[labels > 0]).size)
