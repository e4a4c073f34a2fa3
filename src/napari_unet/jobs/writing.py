"""Writing to the disk behind the window's back: tasks in their order, on one thread."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable

SYNC_SECONDS = 0.5  # between two flushes of the disk while tasks keep coming


class BackgroundWriter:
    """Runs small tasks that write files, one after the other, off the main thread.

    ::

        main thread   put(task) ── put(task) ── put(task) ───────── finish()
        writer thread      └ task ── task ── sync ── task ── sync ────┘

    A task that fails is noted and not repeated; those that follow still run. While the interpreter
    shuts down no thread can be started any more: then a task runs where it is put.

    Parameters
    ----------
    sync : callable
        Called when nothing waits, and at least every `SYNC_SECONDS`: brings what was written to the disk.
    """

    def __init__(self, sync: Callable[[], None] = lambda: None) -> None:
        self._sync = sync
        self._tasks: queue.Queue[tuple[Callable[[], None], int] | None] = queue.Queue()
        self._errors: queue.SimpleQueue[BaseException] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._bytes = 0
        self._synced = 0.0
        self._due = False

    @property
    def waiting_bytes(self) -> int:
        """Memory that waiting tasks hold."""
        return self._bytes

    @property
    def idle(self) -> bool:
        """Whether everything put so far has been written."""
        return self._tasks.unfinished_tasks == 0

    def put(self, task: Callable[[], None], nbytes: int = 0) -> None:
        """Have a task run soon; returns at once.

        Parameters
        ----------
        task : callable
            Without arguments; it must touch nothing that the main thread changes.
        nbytes : int
            Memory that it holds.
        """
        if self._thread is None and not self._start():
            self._run(task)
            self._bring_to_disk(True)
            return
        with self._lock:
            self._bytes += nbytes
        self._tasks.put((task, nbytes))

    def finish(self) -> None:
        """Wait until everything put so far is on the disk."""
        if self._thread is not None:
            self._tasks.join()

    def close(self) -> None:
        """Finish, and end the thread; another `put` starts it again."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._tasks.put(None)
            thread.join()

    def take_error(self) -> BaseException | None:
        """Return the error of the first task that failed and was not told yet."""
        try:
            return self._errors.get_nowait()
        except queue.Empty:
            return None

    # ---- the thread ----------------------------------------------------------------------------

    def _start(self) -> bool:
        thread = threading.Thread(target=self._work, name="napari-unet writer", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the interpreter shuts down
            return False
        self._thread = thread
        return True

    def _work(self) -> None:
        while True:
            entry = self._tasks.get()
            try:
                if entry is None:
                    self._bring_to_disk(True)
                    return
                task, nbytes = entry
                self._run(task)
                with self._lock:
                    self._bytes -= nbytes
                del task, entry
                self._bring_to_disk(self._tasks.empty())
            finally:
                self._tasks.task_done()

    def _run(self, task: Callable[[], None]) -> None:
        self._due = True
        try:
            task()
        # Whatever it is, the owner of the window tells it; the thread must live on for the other files.
        except Exception as error:
            self._errors.put(error)

    def _bring_to_disk(self, now: bool) -> None:
        if self._due and (now or time.monotonic() - self._synced > SYNC_SECONDS):
            self._due, self._synced = False, time.monotonic()
            try:
                self._sync()
            except OSError as error:
                self._errors.put(error)
