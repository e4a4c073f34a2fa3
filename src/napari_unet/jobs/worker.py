"""A worker process, seen from its parent."""

from __future__ import annotations

import atexit
import itertools
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from napari_unet.errors import UserError
from napari_unet.jobs.context import LazyArray, UnexpectedError, as_user_error
from napari_unet.jobs.pipe import Pipe
from napari_unet.jobs.runner import Job


class Worker:
    """Runs jobs in another process, one after the other.

    The process is started as ``python -c "…serve()"`` rather than by multiprocessing's spawn, which
    would run the user's own script a second time when it lacks an ``if __name__ == "__main__"`` guard.

    Parameters
    ----------
    messages : queue.Queue
        Where (job, kind, value) go for the main thread.
    """

    def __init__(self, messages: queue.Queue[tuple[Job, str, Any]]) -> None:
        self._messages = messages
        self._jobs: dict[int, Job] = {}
        self._arrays: dict[int, LazyArray] = {}
        self._keys = itertools.count()
        self._closing = False
        code = f"import sys; sys.path[:] = {sys.path!r}; from napari_unet.jobs.server import serve; serve()"
        self._process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        if self._process.stdin is None or self._process.stdout is None:
            raise UnexpectedError("The worker process could not be connected.")
        self._pipe = Pipe(self._process.stdout, self._process.stdin, refer=self._reference)
        self._outbox: queue.SimpleQueue[tuple[int, tuple[Any, ...]]] = queue.SimpleQueue()
        threading.Thread(target=self._listen, name="napari-unet worker", daemon=True).start()
        threading.Thread(target=self._write, name="napari-unet requests", daemon=True).start()
        atexit.register(self.close)

    @property
    def alive(self) -> bool:
        """Whether the process takes jobs."""
        return not self._closing and self._process.poll() is None

    def submit(self, job: Job, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
        """Send a job to the process; returns at once."""
        number = next(self._keys)
        self._jobs[number] = job
        job._tell_worker = lambda: self._outbox.put((number, ("cancel", number)))
        job._steer_worker = lambda value: self._outbox.put((number, ("steer", number, value)))
        self._outbox.put((number, ("run", number, function, args)))

    def _write(self) -> None:
        """Send what waits, in order: the process may still be starting, and a full pipe must not hold the window."""
        while True:
            number, message = self._outbox.get()
            try:
                self._pipe.send(*message)
            except (OSError, ValueError):
                return  # the process is gone: the reader thread ends its jobs
            except Exception as error:
                self._end(number, "failed", as_user_error(error))
            del message  # requests may be large

    def _reference(self, thing: Any) -> Any:
        """Keep a lazy array here and let its key, shape and type travel."""
        if not isinstance(thing, LazyArray):
            return None
        key = next(self._keys)
        self._arrays[key] = thing
        return key, thing.shape, thing.dtype.str

    def _listen(self) -> None:
        try:
            while True:
                self._take(*self._pipe.receive())
        except (EOFError, OSError):
            reason, details = "", ""
        except Exception as error:
            # What cannot be understood cannot be answered either: the jobs end with the process.
            self._process.kill()
            reason, details = f": {error}", as_user_error(error)[1]
        code = self._process.wait()
        if self._closing:
            return  # the runner ends its jobs itself
        for number, job in list(self._jobs.items()):
            if job.cancelled_at is not None:
                self._end(number, "cancelled", None)
            else:
                failure = UnexpectedError(
                    f"The worker process ended unexpectedly (exit code {code}){reason}.",
                    "It may have run out of memory; close other programs or use smaller tiles.",
                )
                self._end(number, "failed", (failure, details))

    def _take(self, kind: str, number: int, *rest: Any) -> None:
        if kind == "read":
            self._answer(number, *rest)
            return
        job = self._jobs.get(number)
        if job is None:
            return
        (value,) = rest
        if kind in ("report", "progress"):
            try:
                for part in job.prepare(value) if kind == "report" else (value,):
                    self._messages.put((job, kind, part))
            except Exception as error:
                self._outbox.put((number, ("cancel", number)))
                self._end(number, "failed", as_user_error(error))
        else:
            self._end(number, kind, value)

    def _answer(self, request: int, key: int, index: Any) -> None:
        try:
            array = self._arrays[key][index]
            self._pipe.send("array", request, np.ascontiguousarray(array))
        except UserError as error:
            self._pipe.send("unreadable", request, error)
        except Exception as error:
            # As plain as it came: whoever reads the image words it for the user.
            kind = OSError if isinstance(error, OSError) else RuntimeError
            self._pipe.send("unreadable", request, kind(str(error) or type(error).__name__))

    def _end(self, number: int, kind: str, value: Any) -> None:
        job = self._jobs.pop(number, None)
        if not self._jobs:
            self._arrays.clear()
        if job is None:
            return
        while True:
            try:
                self._messages.put((job, kind, value), timeout=0.2)
                return
            except queue.Full:
                if self._closing:
                    return

    def kill_if_stuck(self) -> None:
        """End the process if its running job was cancelled and has outlasted its patience.

        Those that wait behind it stop by themselves when their turn comes.
        """
        running = next(iter(list(self._jobs.values())), None)
        since = None if running is None else running.cancelled_at
        if running is not None and since is not None and time.perf_counter() - since > running.patience:
            self._process.kill()

    def close(self) -> None:
        """End the process."""
        self._closing = True
        atexit.unregister(self.close)
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait(timeout=5)
