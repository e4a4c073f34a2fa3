"""What a job function sees: reports, progress, cancellation, and arrays read piece by piece."""

from __future__ import annotations

import queue
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_unet.errors import UserError

PROGRESS_INTERVAL = 0.1  # seconds between two progress reports of one job


class Cancelled(Exception):
    """Raised inside a job function by `JobContext.check` once the job was cancelled."""


class UnexpectedError(UserError):
    """A bug or a failure of the machine inside a job; `details` holds the traceback."""


@dataclass(frozen=True)
class Progress:
    """How far a job is: `done` of `total` steps, and the seconds left if they can be told."""

    done: int
    total: int
    text: str = ""
    seconds_left: float | None = None


@dataclass(frozen=True)
class LazyArray:
    """An array that a worker process reads piece by piece instead of receiving a copy.

    Parameters
    ----------
    array : array-like
        Anything with shape, dtype and ``__getitem__``: numpy, dask, zarr.
    """

    array: Any

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array."""
        return tuple(int(n) for n in self.array.shape)

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""
        dtype: np.dtype[Any] = np.dtype(self.array.dtype)
        return dtype

    def __getitem__(self, index: Any) -> np.ndarray[Any, Any]:
        return np.asarray(self.array[index])


class JobContext:
    """What a job function sees of its job.

    Parameters
    ----------
    send : callable
        Takes ("report" or "progress", value) to the caller.
    is_cancelled : callable
        Tells whether the job was cancelled.
    steered : callable
        Returns what the caller said last about where to go on; None if nothing.
    """

    def __init__(
        self,
        send: Callable[[str, Any], None],
        is_cancelled: Callable[[], bool],
        steered: Callable[[], Any] = lambda: None,
    ) -> None:
        self._send = send
        self._is_cancelled = is_cancelled
        self._steered = steered
        self._start = time.perf_counter()
        self._last_progress = -np.inf

    @property
    def cancelled(self) -> bool:
        """Whether the job should stop at the next step."""
        return self._is_cancelled()

    @property
    def steered(self) -> Any:
        """What the caller said last, by `Job.steer`; None if nothing. A job looks at it between two steps."""
        return self._steered()

    def check(self) -> None:
        """Raise `Cancelled` if the job was cancelled."""
        if self.cancelled:
            raise Cancelled

    def report(self, value: Any) -> None:
        """Hand an intermediate value to the caller."""
        self._send("report", value)

    def run(self, function: Callable[..., Any], *args: Any) -> Any:
        """Run a long function that does not look at the cancellation itself, and return what it returns.

        It runs in a thread. If the job is cancelled meanwhile, `Cancelled` is raised at once and the
        thread is left behind to end by itself, so the function must change nothing that others see.
        """
        outcome: queue.SimpleQueue[tuple[Any, BaseException | None]] = queue.SimpleQueue()

        def call() -> None:
            try:
                outcome.put((function(*args), None))
            except BaseException as error:
                outcome.put((None, error))

        threading.Thread(target=call, name="napari-unet step", daemon=True).start()
        while True:
            try:
                result, error = outcome.get(timeout=0.05)
            except queue.Empty:
                self.check()
                continue
            if error is not None:
                raise error
            return result

    def progress(self, done: int, total: int, text: str = "", seconds_left: float | None = None) -> None:
        """Tell how far the job is; at most ten times a second get through.

        Parameters
        ----------
        done, total : int
            Steps.
        text : str
            What it does.
        seconds_left : float or None
            Where the job knows them; otherwise they follow from the steps done so far.
        """
        now = time.perf_counter()
        if done < total and now - self._last_progress < PROGRESS_INTERVAL:
            return
        self._last_progress = now
        if seconds_left is None and done:
            seconds_left = (now - self._start) / done * (total - done)
        self._send("progress", Progress(done, total, text, seconds_left))


def as_user_error(error: BaseException) -> tuple[UserError, str]:
    """Return an error as a sentence, with its traceback.

    Parameters
    ----------
    error : BaseException
        Whatever a job function raised.
    """
    details = "".join(traceback.format_exception(error))
    if isinstance(error, UserError):
        return error, details
    message = f"Something unexpected went wrong: {type(error).__name__}: {error}".rstrip(": ") + "."
    return UnexpectedError(message, "Please report it together with the details."), details


def run_guarded(function: Callable[..., Any], context: JobContext, args: tuple[Any, ...]) -> tuple[str, Any]:
    """Run a job function and return how it ended: ("done" | "cancelled" | "failed", value)."""
    try:
        return "done", function(context, *args)
    except Cancelled:
        return "cancelled", None
    except Exception as error:
        return "failed", as_user_error(error)
