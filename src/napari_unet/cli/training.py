"""Running a training task in the terminal: progress, and the first Ctrl-C keeps the best so far."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from napari_unet.cli import console
from napari_unet.jobs import Job, JobContext, Progress
from napari_unet.jobs.context import run_guarded
from napari_unet.learning.reports import TrainReport
from napari_unet.session.training_tasks import TrainOutcome

LINE_EVERY = 10.0  # seconds between two lines where stderr is no terminal, such as the log of a batch system


def run_training(function: Callable[..., TrainOutcome], request: Any, *, keeps_best: bool = True) -> TrainOutcome:
    """Run a training task here and now, and show how far it is.

    Parameters
    ----------
    function : callable
        The task, called with a `JobContext` and the request.
    request : object
        What it needs.
    keeps_best : bool
        Whether stopping keeps the best so far; otherwise nothing.

    Raises
    ------
    UserError
        If it failed or was stopped with nothing to keep.
    """
    job = Job("train")
    with console.progress_bars(percent=True) as bars, _interruptible(job.cancel, keeps_best):
        task = bars.add_task("training", total=None, note="")
        lines = Lines(bars.console) if bars.disable else None

        def send(kind: str, value: object) -> None:
            if isinstance(value, TrainReport):
                bars.update(task, note=_note(value))
                if lines is not None:
                    lines.say(value)
            elif isinstance(value, Progress):
                bars.update(task, completed=value.done, total=value.total or None)

        context = JobContext(send, lambda: job.cancelled_at is not None)
        job.handle(*run_guarded(function, context, (request,)))
    outcome: TrainOutcome = console.finished(job)
    return outcome


class Lines:
    """Prints a line now and then, for a log file.

    Parameters
    ----------
    where : rich.console.Console
        The console of standard error.
    """

    def __init__(self, where: Any) -> None:
        self._where, self._last = where, time.monotonic()

    def say(self, report: TrainReport) -> None:
        """Print where training stands, if the last line is old enough."""
        now = time.monotonic()
        if report.step and now >= self._last + LINE_EVERY:
            self._last = now
            left = "" if report.seconds_left != report.seconds_left else f", {report.seconds_left:.0f} s left"
            console.note(f"{report.progress:.0%}: {_note(report)}{left}", self._where)


def _note(report: TrainReport) -> str:
    score = "" if report.score is None else f", agreement {report.score:.3f}"
    return f"step {report.step}, loss {report.loss:.3f}{score}"


@contextmanager
def _interruptible(stop: Callable[[], None], keeps_best: bool) -> Iterator[None]:
    """Call `stop` on the first Ctrl-C; the second interrupts."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGINT)

    def first(number: int, frame: object) -> None:
        signal.signal(signal.SIGINT, before)
        console.note(
            "Stopping after this step; the best so far is kept. Ctrl-C again drops it."
            if keeps_best
            else "Stopping after this step; nothing is kept."
        )
        stop()

    signal.signal(signal.SIGINT, first)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
