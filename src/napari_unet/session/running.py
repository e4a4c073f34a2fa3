"""The jobs of a session: started by name, shown by name, cancelled by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from napari_unet.errors import UserError
from napari_unet.jobs import PATIENCE, Job, JobRunner, JobState, Progress
from napari_unet.session.state import JobView, SessionEvents


class Running:
    """Runs job functions, at most one of a name at a time.

    Parameters
    ----------
    runner : JobRunner
        Where they run.
    """

    def __init__(self, runner: JobRunner) -> None:
        self.events = SessionEvents()
        self.runner = runner
        self.jobs: dict[str, JobView] = {}
        self._afterwards: dict[str, list[Callable[[], None]]] = {}

    def need_idle(self, name: str) -> None:
        """Raise a `UserError` if a job of this name runs."""
        if name in self.jobs:
            raise UserError(f"The session is busy: '{name}' still runs.", "Wait for it or stop it.")

    def start_job(
        self,
        name: str,
        function: Callable[..., Any],
        request: Any,
        *,
        lane: str = "compute",
        patience: float = PATIENCE,
        on_report: Callable[[Any], None] = lambda report: None,
        on_done: Callable[[Any], None] = lambda result: None,
        on_stopped: Callable[[Job], None] = lambda job: None,
        prepare: Callable[[Any], Any] | None = None,
    ) -> Job | None:
        """Run a job function and keep the panel informed.

        `patience` is for how many seconds a cancelled job may go on before its process is ended.
        ``on_done`` gets the result; ``on_stopped`` the job if it was cancelled or failed. An error
        becomes a message. Returns the job, or None if it has ended already.
        """
        self.need_idle(name)
        view = self.jobs[name] = JobView(job=Job(name))

        def progressed(progress: Progress) -> None:
            view.progress = progress
            self.events.job_changed.emit(name)

        def ended(job: Job) -> None:
            self.jobs.pop(name, None)
            self.events.job_changed.emit(name)
            try:
                if job.state is JobState.DONE:
                    on_done(job.result)
                else:
                    on_stopped(job)
                if job.state is JobState.FAILED and job.error is not None:
                    self.tell_failure(job.error, job.details)
            finally:
                for action in self._afterwards.pop(name, ()):
                    self._act(action)

        if self.runner.mode == "inline":
            self.events.job_changed.emit(name)
        try:
            job = self.runner.submit(
                function,
                request,
                lane=lane,
                patience=patience,
                name=name,
                on_report=on_report,
                on_progress=progressed,
                on_end=ended,
                prepare=prepare,
            )
        except OSError as error:
            self.jobs.pop(name, None)
            self.events.job_changed.emit(name)
            raise UserError(
                f"The worker process cannot be started: {error}.", "Free some memory, or restart napari."
            ) from error
        view.job = job
        if self.runner.mode != "inline":
            # Only now: a window draws itself upon this, and the worker has begun meanwhile.
            self.events.job_changed.emit(name)
        return None if job.ended else job

    def tell_failure(self, error: UserError, details: str) -> None:
        """Tell that a job failed, and why."""
        self.events.message.emit("error", str(error), details)

    def when_idle(self, names: Sequence[str], action: Callable[[], None]) -> None:
        """Act once no job of these names runs; now if none does."""
        for name in names:
            if name in self.jobs:
                self._afterwards.setdefault(name, []).append(lambda: self.when_idle(names, action))
                return
        action()

    def _act(self, action: Callable[[], None]) -> None:
        try:
            action()
        except UserError as error:
            self.events.message.emit("error", str(error), "")

    def cancel(self, name: str) -> None:
        """Ask a running job to stop at its next tile or step."""
        if name in self.jobs:
            self.jobs[name].job.cancel()
            self.events.job_changed.emit(name)
