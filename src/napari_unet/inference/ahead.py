"""One step ahead: the next item is computed while the caller works on this one. Free of torch."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


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
    with ThreadPoolExecutor(1, "ahead") as pool:
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


