"""Long work: the only place where a thread or a process starts.

Importing torch stops a Qt window for half a second even from a thread, and a crash in a GPU library
takes its process along. Work therefore runs in a worker process (`napari_unet.jobs.server`), and its
messages wait in a bounded queue until the owner of the window delivers them::

    main thread          reader thread (one per worker)         worker process
    submit ──────────────────────────── run ──────────────────► function(context, request)
    deliver ◄── queue ◄── prepare ◄──── report, progress ◄────── context.report(value)
                          array[index] ◄─────── read ◄────────── RemoteArray[index]
    job.cancel ──────────────────────── cancel ───────────────► context.cancelled
    job.steer(value) ────────────────── steer ────────────────► context.steered

In the terminal and in most tests the same functions run inline, in the caller's thread.
"""

from __future__ import annotations

from napari_unet.jobs.context import Cancelled, JobContext, LazyArray, Progress, UnexpectedError
from napari_unet.jobs.runner import PATIENCE, Job, JobRunner, JobState

__all__ = [
    "PATIENCE",
    "Cancelled",
    "Job",
    "JobContext",
    "JobRunner",
    "JobState",
    "LazyArray",
    "Progress",
    "UnexpectedError",
]
