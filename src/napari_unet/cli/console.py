"""What the terminal shows: results on stdout; progress, notes and errors on stderr."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from napari_unet.errors import UserError
from napari_unet.jobs import Job, JobRunner, JobState

DONE, SOME_FAILED, ERROR, INTERRUPTED = 0, 1, 2, 130
WIDTH = 120


def print_anything() -> None:
    """Let a terminal that lacks a character, such as → or µ, show a question mark instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def stdout() -> Console:
    """Return the console for results; in a file or pipe its lines are `WIDTH` long."""
    console = Console(highlight=False, emoji=False)
    return console if console.is_terminal else Console(highlight=False, emoji=False, width=WIDTH)


def stderr() -> Console:
    """Return the console for everything else."""
    return Console(stderr=True, highlight=False, emoji=False)


def say(text: str) -> None:
    """Print a result."""
    stdout().print(text, markup=False, soft_wrap=True)


def note(text: str, console: Console | None = None) -> None:
    """Print what happens meanwhile."""
    (console or stderr()).print(text, markup=False, soft_wrap=True)


def error(text: str, console: Console | None = None) -> None:
    """Print a sentence about what went wrong, on one line."""
    (console or stderr()).print(" ".join(text.split()), style="red", markup=False, soft_wrap=True)


def table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], *, texts: int = 1, last_row_apart: bool = False
) -> None:
    """Print a table; the first `texts` columns are words, the others numbers."""
    lines = [list(row) for row in rows]
    shown = Table(title=title, title_justify="left")
    for index, name in enumerate(columns):
        shown.add_column(name, justify="left" if index < texts else "right", overflow="fold")
    for number, row in enumerate(lines):
        shown.add_row(*row, end_section=last_row_apart and number == len(lines) - 2)
    stdout().print(shown, markup=False)


def facts(title: str, rows: Iterable[tuple[str, str]]) -> None:
    """Print names and values."""
    shown = Table(title=title, title_justify="left", show_header=False, box=None, padding=(0, 2, 0, 0))
    shown.add_column(no_wrap=True)
    shown.add_column(overflow="fold")
    for name, value in rows:
        shown.add_row(name, value)
    stdout().print(shown, markup=False)


@contextmanager
def progress_bars(percent: bool = False) -> Iterator[Progress]:
    """Show bars with the time left, counting or in percent; nothing where stderr is no terminal."""
    console = stderr()
    bars = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn() if percent else MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    with bars:
        yield bars


def finished(job: Job) -> Any:
    """Return the result of an inline job.

    Raises
    ------
    UserError
        If it failed or was cancelled.
    """
    if job.state is JobState.DONE:
        return job.result
    raise job.error or UserError("The work was stopped.", "Start it again.")


def run_job(function: Any, request: Any, **callbacks: Any) -> Any:
    """Run a job function here and now and return its result; its error is raised."""
    return finished(JobRunner("inline").submit(function, request, **callbacks))
