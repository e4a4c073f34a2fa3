"""Messages between our own two processes: frames of a length and a pickle."""

from __future__ import annotations

import io
import pickle
import struct
import threading
from collections.abc import Callable
from typing import IO, Any

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


class Pipe:
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
        """Send one message."""
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
