"""How soon a quick refit shows, and whether it is better: from the click to new labels of a 512 × 512 image.

    python benchmarks/refit.py --runs 6

Images of four tasks of ``benchmarks/interactive.py``, up to 512 × 512 px each. The nuclei start from a model that
knows fluorescence alone; the others from a new model and its automatic first round. A simulated annotator works for
20 seconds, then the refit is clicked, in a session with worker processes as the panel uses it. The score counts
voxels that were not painted: for objects the mean of the foreground's Dice coefficient and AP at 0.5, for classes
the mean Dice coefficient.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from interactive_parts.annotator import Annotator
from interactive_parts.task import Example, Task
from interactive_parts.tasks import make_task
from interactive_parts.work import Work
from napari_unet.image.source import ImageSource
from napari_unet.jobs import JobRunner
from napari_unet.learning.scoring import agreement
from napari_unet.session import Session

TASKS = ("he", "bf", "sem", "a549")
SIDE = 512
ANNOTATED = 20.0  # s


def wait(session: Session, done: Callable[[], bool]) -> float:
    """Deliver messages until `done`; return the seconds."""
    start = time.perf_counter()
    while not done():
        session.deliver()
        time.sleep(0.005)
    return time.perf_counter() - start


def window(example: Example) -> Example:
    """Return the first 512 × 512 px of an image."""
    source = example.source
    cut = tuple(slice(0, SIDE) if axis in "YX" else slice(None) for axis in source.axes)
    smaller = ImageSource.from_array(np.asarray(source.data)[cut], axes=source.axes, name=source.name)
    return Example(smaller, example.truth[:, :SIDE, :SIDE])


def run(task: Task, example: Example, seed: int) -> tuple[float, float, float]:
    """Return the seconds to the new labels, and the score before and after."""
    one = replace(task, train=(window(example),), test=(), forget=())
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        work = Work(one, seed, Path(folder), JobRunner("process"))
        session, image_id = work.session, work.ids[0]

        def idle() -> bool:
            return not session.jobs and not session.busy

        session.warm("train")
        annotator = Annotator(one, seed)
        if task.parent is None:
            annotator.work_until(ANNOTATED / 2, work)
        else:
            session.segment(image_id)
        wait(session, idle)
        annotator.work_until(ANNOTATED * (1.5 if task.parent is None else 1), work)
        wait(session, idle)
        truth = session.ensure_labels(image_id).truth
        unknown = ~truth.known[0]
        output = session.need_model().header.output

        def score() -> float:
            return agreement(one.train[0].truth, truth.labels[0], unknown, output)

        before = score()
        session.refit()
        seconds = wait(session, lambda: session.preview is not None)
        after = score()
        wait(session, idle)
        work.close()
    return seconds, before, after


def main() -> None:
    """Run and print one line a run, then the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=6, help="per task")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=TASKS)
    options = parser.parse_args()
    found: list[tuple[float, float, float]] = []
    for name in options.tasks:
        task = make_task(name)
        for number in range(options.runs):
            example = task.train[number % len(task.train)]
            result = run(task, example, number)
            found.append(result)
            print(f"{name:6} {example.name:20.20} {result[0]:5.1f} s   {result[1]:.3f} → {result[2]:.3f}", flush=True)
    seconds, before, after = np.array(found).T
    print(f"click → labels: median {np.median(seconds):.1f} s, longest {seconds.max():.1f} s")
    print(
        f"score rose in {np.count_nonzero(after > before)} of {len(found)} runs; "
        f"median {np.median(after - before):+.3f}"
    )


if __name__ == "__main__":
    main()
