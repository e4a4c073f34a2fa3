"""Object ids that are given once."""

from __future__ import annotations

from threading import RLock


class IdCounter:
    """The largest object id ever given or seen; safe from several threads.

    Truths of parts of one image share a counter, so that an id means one object wherever it is.

    Parameters
    ----------
    last : int
        The largest id there is.
    """

    def __init__(self, last: int = 0) -> None:
        self._last = last
        self._lock = RLock()

    @property
    def last(self) -> int:
        """The largest id; the next one is larger."""
        return self._last

    def see(self, value: int) -> None:
        """Remember that an id is taken."""
        with self._lock:
            self._last = max(self._last, value)

    def take(self, count: int = 1) -> int:
        """Reserve `count` ids that were never used, and return the first."""
        with self._lock:
            first = self._last + 1
            self._last += count
        return first
