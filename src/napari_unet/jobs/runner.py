"""Job and JobRunner: start work, deliver what it says, cancel it."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable
from enum import Enum
from typing import Any, Literal

from napari_unet.errors import UserError
from napari_unet.jobs.context import JobContext, Progress, as_user_error, run_guarded

PATIENCE = 5.0  # seconds a cancelled job may take to stop by itself
QUEUE_LENGTH = 64  # messages that wait for the main thread before the worker waits, too


class JobState(Enum):
    """Where a job stands; it ends in exactly one of the last three."""

    RUNNING = "running"
    STOPPING = "stopping"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


def _nothing(value: Any) -> None:
    """Ignore a message nobody asked for."""


class Job:
    """A running function, seen from the main thread.

    Attributes
    ----------
    name : str
        What the job does, for the panel.
    state : JobState
        Changes on the main thread only.
    result : object
        What the function returned, once done.
    error : UserError or None
        Why it failed.
    details : str
        The traceback of a failure.
    """

    def __init__(
        self,
        name: str,
        on_report: Callable[[Any], None] = _nothing,
        on_progress: Callable[[Progress], None] = _nothing,
        on_end: Callable[[Job], None] = _nothing,
        prepare: Callable[[Any], Iterable[Any]] | None = None,
        patience: float = PATIENCE,
    ) -> None:
        self.name = name
        self.state = JobState.RUNNING
        self.result: Any = None
        self.error: UserError | None = None
        self.details = ""
        self.cancelled_at: float | None = None
        self.patience = patience
        self._on_report, self._on_progress, self._on_end = on_report, on_progress, on_end
        self._prepare = prepare
        self._tell_worker: Callable[[], None] = lambda: None
        self._steer_worker: Callable[[Any], None] = _nothing
        self.steered: Any = None

    @property
    def ended(self) -> bool:
        """Whether the job is done, failed or cancelled."""
        return self.state not in (JobState.RUNNING, JobState.STOPPING)

    def cancel(self) -> None:
        """Ask the job to stop at its next step; returns at once."""
        if self.ended or self.state is JobState.STOPPING:
            return
        self.state = JobState.STOPPING
        self.cancelled_at = time.perf_counter()
        self._tell_worker()

    def steer(self, value: Any) -> None:
        """Tell a running job where to go on, such as what the user looks at now; it takes up the latest value."""
        if not self.ended:
            self.steered = value
            self._steer_worker(value)

    def prepare(self, value: Any) -> Iterable[Any]:
        """Turn a report into the ones to deliver; runs off the main thread."""
        return self._prepare(value) if self._prepare is not None else (value,)

    def handle(self, kind: str, value: Any) -> None:
        """Take one message; called on the main thread."""
        if self.ended:
            return
        if kind == "report":
            self._take_report(value)
        elif kind == "progress":
            self._on_progress(value)
        else:
            self._end(kind, value)

    def _take_report(self, value: Any) -> None:
        try:
            self._on_report(value)
        except Exception as error:
            # What cannot be taken must not pass for done: the job ends here, and its function is told.
            self._tell_worker()
            self._end("failed", as_user_error(error))

    def _end(self, kind: str, value: Any) -> None:
        if kind == "done":
            self.state, self.result = JobState.DONE, value
        elif kind == "cancelled":
            self.state = JobState.CANCELLED
        else:
            self.state = JobState.FAILED
            self.error, self.details = value
        on_end, self._on_end = self._on_end, _nothing
        # A job object may outlive its work by hours: let go of what the callbacks hold.
        self._on_report = self._on_progress = _nothing
        self._prepare = None
        on_end(self)


class JobRunner:
    """Starts jobs and delivers what they say.

    Parameters
    ----------
    mode : {"process", "inline"}
        ``inline`` runs a job to its end inside `submit`; for the terminal and for tests.
    """

    def __init__(self, mode: Literal["process", "inline"] = "process") -> None:
        self.mode = mode
        self._messages: queue.Queue[tuple[Job, str, Any]] = queue.Queue(QUEUE_LENGTH)
        self._workers: dict[str, Any] = {}
        self._running: list[Job] = []

    def submit(self, function: Callable[..., Any], *args: Any, lane: str = "compute", **callbacks: Any) -> Job:
        """Start a job.

        Parameters
        ----------
        function : callable
            A module-level function; called with a `JobContext` and `args`.
        *args : object
            Frozen snapshots, picklable; a `LazyArray` inside them is read by reference.
        lane : str
            Jobs of one lane run one after the other; each lane has a worker process.
        **callbacks
            `Job` parameters: ``name``, ``on_report``, ``on_progress``, ``on_end``, ``prepare``, ``patience``.
        """
        job = Job(**{"name": function.__name__, **callbacks})
        if self.mode == "inline":

            def send(kind: str, value: Any) -> None:
                for part in job.prepare(value) if kind == "report" else (value,):
                    job.handle(kind, part)

            context = JobContext(send, lambda: job.state is not JobState.RUNNING, lambda: job.steered)
            job.handle(*run_guarded(function, context, args))
            return job
        self._running.append(job)
        self._worker(lane).submit(job, function, args)
        return job

    def _worker(self, lane: str) -> Any:
        from napari_unet.jobs.worker import Worker

        worker = self._workers.get(lane)
        if worker is None or not worker.alive:
            worker = self._workers[lane] = Worker(self._messages)
        return worker

    def deliver(self, seconds: float = 0.008) -> None:
        """Handle waiting messages for about `seconds`, one at least; call it on the main thread.

        A job that ignores its cancellation for longer than its patience loses its process.
        """
        end = time.perf_counter() + seconds
        while True:
            try:
                job, kind, value = self._messages.get_nowait()
            except queue.Empty:
                break
            job.handle(kind, value)
            if time.perf_counter() >= end:
                break
        self._running = [job for job in self._running if not job.ended]
        for worker in self._workers.values():
            worker.kill_if_stuck()

    @property
    def busy(self) -> bool:
        """Whether a job runs or a message waits."""
        return bool(self._running) or not self._messages.empty()

    def wait(self, job: Job, timeout: float | None = None) -> Job:
        """Deliver messages until a job has ended; for scripts and tests.

        Raises
        ------
        TimeoutError
            If the job has not ended after `timeout` seconds.
        """
        start = time.perf_counter()
        while not job.ended:
            if timeout is not None and time.perf_counter() - start > timeout:
                raise TimeoutError(f"The job '{job.name}' has not ended after {timeout} s.")
            self.deliver()
            threading.Event().wait(0.002)
        return job

    def close(self) -> None:
        """Cancel everything and end the worker processes."""
        for worker in self._workers.values():
            worker.close()
        self._workers.clear()
        running, self._running = self._running, []
        for job in running:
            job.handle("cancelled", None)
