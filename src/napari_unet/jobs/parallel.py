"""Many small computations side by side, for what the caller waits for."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

MOST_THREADS = 8
FEWEST_ITEMS = 4  # below which starting threads costs more than it gains

Given = TypeVar("Given")
Result = TypeVar("Result")


def in_threads(function: Callable[[Given], Result], items: Iterable[Given]) -> Iterator[Result]:
    """Yield what a function returns for each item, in their order; threads share the work.

    It pays where the function spends its time outside the interpreter: in zlib, or in NumPy with large arrays.

    Parameters
    ----------
    function : callable
        Safe to be called from several threads. What it raises is raised here.
    items : iterable
        What it is called with.

    Examples
    --------
    >>> list(in_threads(abs, [3, -4, -5, 6, 7]))
    [3, 4, 5, 6, 7]
    """
    given = list(items)
    threads = min(MOST_THREADS, os.cpu_count() or 1, len(given))
    if threads < 2 or len(given) < FEWEST_ITEMS:
        yield from map(function, given)
        return
    with ThreadPoolExecutor(threads, "napari-unet-parallel") as pool:
        yield from pool.map(function, given)
