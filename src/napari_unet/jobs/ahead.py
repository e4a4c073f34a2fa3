"""One step ahead: the next item is computed while the caller works on this one."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


class Reader:
    """Calls a function in a thread of its own, one call after the other; the thread ends with the reader."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, "napari-unet-reader")

    def ask(self, function: Callable[..., T], *args: object) -> Future[T]:
        """Return what will hold the result, or the error."""
        return self._pool.submit(function, *args)


def at_once(function: Callable[..., T], *args: object) -> Future[T]:
    """Call a function here and now, and return its result as `Reader.ask` does."""
    done: Future[T] = Future()
    done.set_result(function(*args))
    return done


def ahead(items: Iterator[T]) -> Generator[T, None, None]:
    """Yield items that are computed in a thread, always one before it is asked for.

    ::

        thread   1 1 1 2 2 2 3 3 3          computes: a GPU, fed by this thread
        caller         1 1   2 2   3 3      decodes and writes

    Parameters
    ----------
    items : iterator
        Closed, if it can be, once the caller stops; whatever it raises comes when its item is asked for.
    """
    with ThreadPoolExecutor(1, "napari-unet-ahead") as pool:
        try:
            coming = pool.submit(_next, items)
            while item := coming.result():
                coming = pool.submit(_next, items)
                yield item[0]
        finally:
            if isinstance(items, Generator):
                pool.submit(items.close).result()


def _next(items: Iterator[T]) -> tuple[T] | None:
    for item in items:
        return (item,)
    return None
