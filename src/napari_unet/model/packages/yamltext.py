"""YAML from strangers to plain values: no tags, bounded size, depth and repetition. Free of torch.

Values are read event by event, so that nothing recurses, and scalars follow the core schema of YAML 1.2: ``1e-6`` is a
number and ``no`` is a word. An alias repeats a value that was read before; what it repeats counts each time, so that
a few lines cannot stand for billions.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from napari_unet.errors import CheckpointError

MAX_BYTES = 2**20
MAX_DEPTH = 64
MAX_VALUES = 200_000

ADVICE = "Ask the package's author for one that the bioimage.io collection accepts."

_NULL = re.compile(r"~|null|Null|NULL|")
_BOOL = re.compile(r"true|True|TRUE|false|False|FALSE")
_INT = re.compile(r"[-+]?[0-9]{1,30}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INF = re.compile(r"([-+]?)\.(?:inf|Inf|INF)")
_NAN = re.compile(r"\.(?:nan|NaN|NAN)")
_TAGS = {None, "!", *(f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "seq", "map"))}


def read_yaml(content: bytes, name: str) -> Any:
    r"""Read one YAML document.

    Parameters
    ----------
    content : bytes
        UTF-8, at most `MAX_BYTES`.
    name : str
        Of the file, for messages.

    Returns
    -------
    dict, list, str, int, float, bool or None
        Values; equal parts that were aliased are the same object.

    Raises
    ------
    CheckpointError
        If it is no YAML, has tags, a key twice, or is too large, too deep or too repetitive.

    Examples
    --------
    >>> read_yaml(b"shape: &s [1, 1e-6]\nsame: *s", "rdf.yaml")
    {'shape': [1, 1e-06], 'same': [1, 1e-06]}
    """
    if len(content) > MAX_BYTES:
        raise CheckpointError(f"{name} has {len(content)} bytes, more than {MAX_BYTES}.", ADVICE)
    reader = _Reader(name)
    try:
        for event in yaml.parse(content.decode("utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
            reader.take(event)
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{name} is no YAML: {' '.join(str(error).split())[:200]}.", ADVICE) from error
    return reader.result


class _Reader:
    """Builds values from events, without recursion."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.result: Any = None
        self._open: list[tuple[Any, str | None, int]] = []  # container, its anchor, values counted before it
        self._keys: list[Any] = []
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._count = 0

    def take(self, event: Any) -> None:
        if isinstance(event, yaml.AliasEvent):
            value, size = self._anchors.get(event.anchor, (None, -1))
            if size < 0:
                self._refuse(f"repeats {event.anchor!r}, which is not complete")
            self._counted(size)
            self._place(value)
        elif isinstance(event, yaml.ScalarEvent):
            self._checked(event.tag)
            self._counted(1)
            value = _scalar(event.value) if not event.style and event.tag in (None, "!") else event.value
            self._anchored(event.anchor, value, 1)
            self._place(value)
        elif isinstance(event, yaml.CollectionStartEvent):
            self._checked(event.tag)
            self._counted(1)
            if len(self._open) >= MAX_DEPTH:
                self._refuse(f"is nested more than {MAX_DEPTH} levels deep")
            container: Any = {} if isinstance(event, yaml.MappingStartEvent) else []
            self._open.append((container, event.anchor, self._count))
            self._keys.append(_NO_KEY)
        elif isinstance(event, yaml.CollectionEndEvent):
            container, anchor, before = self._open.pop()
            self._keys.pop()
            self._anchored(anchor, container, self._count - before + 1)
            self._place(container)

    def _place(self, value: Any) -> None:
        if not self._open:
            self.result = value
            return
        container = self._open[-1][0]
        if isinstance(container, list):
            container.append(value)
        elif self._keys[-1] is _NO_KEY:
            if isinstance(value, dict | list):
                self._refuse("has a key that is no text")
            if value in container:
                self._refuse(f"has the key {value!r:.80} twice")
            self._keys[-1] = value
        else:
            container[self._keys[-1]] = value
            self._keys[-1] = _NO_KEY

    def _anchored(self, anchor: str | None, value: Any, size: int) -> None:
        if anchor is not None:
            self._anchors[anchor] = (value, size)

    def _checked(self, tag: str | None) -> None:
        if tag not in _TAGS:
            self._refuse(f"has the tag {tag!r:.80}, which could stand for code")

    def _counted(self, size: int) -> None:
        self._count += size
        if self._count > MAX_VALUES:
            self._refuse(f"stands for more than {MAX_VALUES} values")

    def _refuse(self, problem: str) -> None:
        raise CheckpointError(f"{self.name} {problem}.", ADVICE)


_NO_KEY = object()


def _scalar(text: str) -> Any:
    if _NULL.fullmatch(text):
        return None
    if _BOOL.fullmatch(text):
        return text[0] in "tT"
    if _INT.fullmatch(text):
        return int(text)
    infinite = _INF.fullmatch(text)
    if infinite:
        return float("-inf") if infinite[1] == "-" else float("inf")
    if _NAN.fullmatch(text):
        return float("nan")
    return float(text) if _FLOAT.fullmatch(text) else text
