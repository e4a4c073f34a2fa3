"""The worker process: it runs jobs that arrive on standard input until that closes."""

from __future__ import annotations

import itertools
import os
import queue
import sys
import threading
from collections.abc import Callable
from typing import IO, Any

import numpy as np

from napari_unet.errors import UserError
from napari_unet.jobs.context import JobContext, as_user_error, run_guarded
from napari_unet.jobs.pipe import Pipe


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
        self._pipe = Pipe(incoming, outgoing, resolve=self._remote)
        self._runs: queue.Queue[tuple[Any, ...] | None] = queue.Queue()
        self._cancelled: set[int] = set()
        self._steered: dict[int, Any] = {}
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
                elif kind == "steer":
                    self._steered[number] = rest[0]
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
            lambda: self._steered.get(number),
        )
        kind, value = run_guarded(function, context, args)
        self._steered.pop(number, None)
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
        os.nice(5)
    server = _Server(incoming, outgoing)
    threading.Thread(target=server.listen, daemon=True).start()
    server.run()
