"""The worker process and its pipe: frames of a length and a pickle, between our own two processes.

The parent starts `python -c "…serve()"` rather than using multiprocessing's spawn, which would run
the user's own script a second time when it lacks an ``if __name__ == "__main__"`` guard.
"""

from __future__ import annotations

import atexit
import io
import itertools
import os
import pickle
import queue
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import IO, Any

import numpy as np

from napari_unet.errors import UserError
from napari_unet.jobs import Job, JobContext, LazyArray, UnexpectedError, as_user_error, run_guarded

_LENGTH = struct.Struct("<Q")


class _Pickler(pickle.Pickler):
    """Pickles what `refer` names by that name."""

    def __init__(self, file: IO[bytes], refer: Callable[[Any], Any]) -> None:
        super().__init__(file, protocol=5)
        self._refer = refer

    def persistent_id(self, obj: Any) -> Any:
        return self._refer(obj)


class _Unpickler(pickle.Unpickler):
    """Turns such names back into things."""

    def __init__(self, file: IO[bytes], resolve: Callable[[Any], Any]) -> None:
        super().__init__(file)
        self._resolve = resolve

    def persistent_load(self, pid: Any) -> Any:
        return self._resolve(pid)


class _Pipe:
    """Pickled messages over a pair of binary files; sending is safe from several threads."""

    def __init__(
        self,
        incoming: IO[bytes],
        outgoing: IO[bytes],
        refer: Callable[[Any], Any] = lambda thing: None,
        resolve: Callable[[Any], Any] = lambda key: None,
    ) -> None:
        self._incoming, self._outgoing = incoming, outgoing
        self._refer, self._resolve = refer, resolve
        self._lock = threading.Lock()

    def send(self, *message: Any) -> None:
        buffer = io.BytesIO()
        _Pickler(buffer, self._refer).dump(message)
        data = buffer.getbuffer()
        with self._lock:
            self._outgoing.write(_LENGTH.pack(len(data)))
            self._outgoing.write(data)
            self._outgoing.flush()

    def receive(self) -> tuple[Any, ...]:
        """Return the next message; raises EOFError when the other side is gone."""
        (length,) = _LENGTH.unpack(self._read(_LENGTH.size))
        message: tuple[Any, ...] = _Unpickler(io.BytesIO(self._read(length)), self._resolve).load()
        return message

    def _read(self, length: int) -> bytes:
        data = self._incoming.read(length)
        if data is None or len(data) < length:
            raise EOFError
        return data


class Worker:
    """A worker process, seen from its parent.

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
        code = f"import sys; sys.path[:] = {sys.path!r}; from napari_unet.worker import serve; serve()"
        self._process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        if self._process.stdin is None or self._process.stdout is None:
            raise UnexpectedError("The worker process could not be connected.")
        self._pipe = _Pipe(self._process.stdout, self._process.stdin, refer=self._reference)
        threading.Thread(target=self._listen, name="napari-unet worker", daemon=True).start()
        atexit.register(self.close)

    @property
    def alive(self) -> bool:
        """Whether the process takes jobs."""
        return not self._closing and self._process.poll() is None

    def submit(self, job: Job, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
        """Send a job to the process.

        The request is pickled in a thread of its own: the process may still be starting, and a
        full pipe must not hold the window.
        """
        number = next(self._keys)
        self._jobs[number] = job
        job._tell_worker = lambda: self._send_later(number, "cancel", number)
        self._send_later(number, "run", number, function, args)

    def _send_later(self, number: int, *message: Any) -> None:
        def send() -> None:
            try:
                self._pipe.send(*message)
            except (OSError, ValueError):
                return  # the process is gone: the reader thread ends its jobs
            except Exception as error:
                self._end(number, "failed", as_user_error(error))

        threading.Thread(target=send, name="napari-unet send", daemon=True).start()

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
        except (EOFError, OSError, pickle.UnpicklingError):
            pass
        code = self._process.wait()
        for number, job in list(self._jobs.items()):
            if job.cancelled_at is not None or self._closing:
                self._end(number, "cancelled", None)
            else:
                error = UnexpectedError(
                    f"The worker process ended unexpectedly (exit code {code}).",
                    "It may have run out of memory; close other programs or use smaller tiles.",
                )
                self._end(number, "failed", (error, ""))

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
                self._send_later(number, "cancel", number)
                self._end(number, "failed", as_user_error(error))
        else:
            self._end(number, kind, value)

    def _answer(self, request: int, key: int, index: Any) -> None:
        try:
            array = self._arrays[key][index]
            self._pipe.send("array", request, np.ascontiguousarray(array))
        except Exception as error:
            self._pipe.send("unreadable", request, as_user_error(error)[0])

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

    def kill_if_stuck(self, seconds: float) -> None:
        """End the process if a cancelled job of it has not stopped after `seconds`."""
        now = time.perf_counter()
        for job in list(self._jobs.values()):
            if job.cancelled_at is not None and now - job.cancelled_at > seconds:
                self._process.kill()
                return

    def close(self) -> None:
        """End the process."""
        self._closing = True
        atexit.unregister(self.close)
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait(timeout=5)


class RemoteArray:
    """An array that lives in the parent; reading it asks for just the piece."""

    def __init__(self, read: Callable[[int, Any], Any], key: int, shape: Any, dtype: str) -> None:
        self._read, self._key = read, key
        self.shape: tuple[int, ...] = tuple(shape)
        self.dtype = np.dtype(dtype)
        self.ndim = len(self.shape)

    def __getitem__(self, index: Any) -> np.ndarray[Any, Any]:
        array: np.ndarray[Any, Any] = self._read(self._key, index)
        return array


class _Server:
    """The child's side: one thread reads messages, the main thread runs jobs in order."""

    def __init__(self, incoming: IO[bytes], outgoing: IO[bytes]) -> None:
        self._pipe = _Pipe(incoming, outgoing, resolve=self._remote)
        self._runs: queue.Queue[tuple[Any, ...] | None] = queue.Queue()
        self._cancelled: set[int] = set()
        self._answers: dict[int, queue.Queue[tuple[str, Any]]] = {}
        self._requests = itertools.count()

    def _remote(self, key: Any) -> RemoteArray:
        return RemoteArray(self._read, *key)

    def _read(self, key: int, index: Any) -> Any:
        request = next(self._requests)
        answer = self._answers[request] = queue.Queue()
        self._pipe.send("read", request, key, index)
        kind, value = answer.get()
        if kind == "unreadable":
            raise value
        return value

    def listen(self) -> None:
        try:
            while True:
                kind, number, *rest = self._pipe.receive()
                if kind == "run":
                    self._runs.put((number, *rest))
                elif kind == "cancel":
                    self._cancelled.add(number)
                else:
                    self._answers.pop(number).put((kind, rest[0]))
        except (EOFError, OSError):
            # The parent is gone: nobody waits for whatever still runs.
            os._exit(0)

    def run(self) -> None:
        while (run := self._runs.get()) is not None:
            number, function, args = run
            self._run_one(number, function, args)
            del run, function, args  # arguments may be large, and the next job may be hours away

    def _run_one(self, number: int, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
        context = JobContext(
            lambda kind, value: self._pipe.send(kind, number, value),
            lambda: number in self._cancelled,
        )
        kind, value = run_guarded(function, context, args)
        try:
            self._pipe.send(kind, number, value)
        except OSError:
            os._exit(0)
        except Exception as error:  # a result or error that cannot be pickled
            shown = error if isinstance(error, UserError) else RuntimeError(repr(value)[:500])
            self._pipe.send("failed", number, as_user_error(shown))


def serve() -> None:
    """Run jobs that arrive on standard input until it closes.

    Standard output belongs to the protocol, so whatever libraries print goes to standard error.
    The process gives way to the window: it runs at a lower priority.
    """
    incoming = os.fdopen(os.dup(0), "rb")
    outgoing = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    sys.stdin = open(os.devnull)  # noqa: SIM115
    if hasattr(os, "nice"):
        os.nice(10)
    server = _Server(incoming, outgoing)
    threading.Thread(target=server.listen, daemon=True).start()
    server.run()
