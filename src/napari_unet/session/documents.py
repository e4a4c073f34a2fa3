"""What a piece of work keeps beside labels and models: named JSON values, each owned by one group of commands."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any


class Documents:
    """Named JSON values that outlive the session.

    Each is registered once with how it is dumped and loaded. Whoever changes one touches it; whoever
    keeps the work on disk takes the touched ones and writes them.
    """

    def __init__(self) -> None:
        self._dump: dict[str, Callable[[], Any]] = {}
        self._load: dict[str, Callable[[Any], None]] = {}
        self._touched: set[str] = set()

    def register(self, name: str, dump: Callable[[], Any], load: Callable[[Any], None]) -> None:
        """Take a value in: `dump` returns it as JSON values, `load` takes back what `dump` returned."""
        self._dump[name], self._load[name] = dump, load

    def touch(self, name: str) -> None:
        """Tell that a registered value changed."""
        if name not in self._dump:
            raise KeyError(f"No document is called {name!r}.")
        self._touched.add(name)

    def take_touched(self) -> dict[str, Any]:
        """Return the values that changed since the last call, dumped."""
        touched, self._touched = sorted(self._touched), set()
        return {name: self._dump[name]() for name in touched}

    def load(self, values: dict[str, Any]) -> None:
        """Take back dumped values; names that nobody registered are left alone."""
        for name, value in values.items():
            if name in self._load:
                self._load[name](value)

    def dump(self, names: Iterable[str]) -> dict[str, Any]:
        """Return these values, dumped, touched or not."""
        return {name: self._dump[name]() for name in names}

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all that is registered."""
        return tuple(self._dump)
