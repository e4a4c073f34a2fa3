"""Records of a journal: what one change of a truth looks like on the disk.

::

    "nuR1" │ length of head │ length of body │ CRC-32 of both │ head: JSON │ body: deflated arrays
     4 B   │      u32       │      u64       │      u32       │
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import prod
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from napari_unet.errors import UserError
from napari_unet.image.boxes import Box, as_box, extent
from napari_unet.jobs.parallel import in_threads

MAGIC = b"nuR1"
_START = struct.Struct("<4sIQI")
_LEVEL = 1  # of zlib: three times faster than the default, and labels are mostly even
_LIMIT = 2**31  # voxels of one record
_DTYPES = ("bool", "uint8", "uint16", "uint32", "uint64")

Arrays = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Record:
    """One box of a truth as it was after a change.

    Parameters
    ----------
    kind : {"known", "prediction", "clear"}
        ``known``: what the user said; arrays ``labels``, ``known`` and ``changed``. ``prediction``: the
        array ``values``. ``clear``: whatever came before does not hold any more.
    t : int
        Time point.
    box : Box
        Where, (z, y, x).
    arrays : dict of ndarray
        Each of the box's shape, unsigned integers or bool.
    meta : dict
        Further JSON values; ``end`` is true on the last record of a group that holds only as a whole.
    """

    kind: str
    t: int
    box: Box
    arrays: Arrays
    meta: dict[str, Any] = field(default_factory=dict)

    @property
    def ends(self) -> bool:
        """Whether a group of records is complete with this one."""
        return bool(self.meta.get("end"))

    @property
    def nbytes(self) -> int:
        """Memory that the arrays hold."""
        return sum(array.nbytes for array in self.arrays.values())


def encode(record: Record) -> bytes:
    """Return a record as bytes."""
    parts, table = [], []
    for name, array in record.arrays.items():
        raw: npt.NDArray[Any] = np.packbits(array) if array.dtype == bool else np.ascontiguousarray(array)
        part = zlib.compress(raw.astype(raw.dtype.newbyteorder("<"), copy=False).data, _LEVEL)
        table.append([name, array.dtype.name, len(part)])
        parts.append(part)
    box = [[int(s.start), int(s.stop)] for s in record.box]
    values = {"kind": record.kind, "t": int(record.t), "box": box, "arrays": table, "meta": record.meta}
    head = json.dumps(values, separators=(",", ":"), ensure_ascii=False).encode()
    body = b"".join(parts)
    return _START.pack(MAGIC, len(head), len(body), zlib.crc32(body, zlib.crc32(head))) + head + body


def decode_all(data: bytes, start: int = 0) -> Iterator[tuple[int, int, Record]]:
    """Yield (start, end, record) of every whole record; what is torn or damaged is passed over.

    Parameters
    ----------
    data : bytes
        The journal.
    start : int
        Where the first record is expected.
    """
    spans = list(_spans(data, start))
    # zlib lets other threads run meanwhile.
    records = in_threads(lambda span: _decode(span.head, span.body), spans)
    for span, record in zip(spans, records, strict=True):
        yield span.start, span.end, record


class _Span(NamedTuple):
    """Where a whole record lies, and its two parts."""

    start: int
    end: int
    head: memoryview
    body: memoryview


def _spans(data: bytes, at: int) -> Iterator[_Span]:
    while at < len(data):
        found = _span_at(data, at)
        if found is None:
            at = _next_magic(data, at + 1)
        else:
            yield found
            at = found.end


def _next_magic(data: bytes, at: int) -> int:
    found = data.find(MAGIC, at)
    return len(data) if found < 0 else found


def _span_at(data: bytes, at: int) -> _Span | None:
    """Return where the record lies that starts here, if it is whole."""
    if at + _START.size > len(data):
        return None
    magic, n_head, n_body, crc = _START.unpack(data[at : at + _START.size])
    start = at + _START.size
    end = start + n_head + n_body
    if magic != MAGIC or end > len(data):
        return None
    view = memoryview(data)
    head, body = view[start : start + n_head], view[start + n_head : end]
    if zlib.crc32(body, zlib.crc32(head)) != crc:
        return None
    return _Span(at, end, head, body)


def _decode(head: memoryview, body: memoryview) -> Record:
    """Return a record whose checksum is right.

    Raises
    ------
    UserError
        If it says what no version of this package writes.
    """
    try:
        values = json.loads(bytes(head))
        box = as_box([int(a) for a, _ in values["box"]], [int(b) for _, b in values["box"]])
        shape, arrays, at = extent(box), {}, 0
        if min(shape) < 0 or prod(shape) > _LIMIT:
            raise ValueError(f"a box of shape {shape}")
        for name, dtype, length in values["arrays"]:
            arrays[str(name)] = _inflate(body[at : at + int(length)], str(dtype), shape)
            at += int(length)
        return Record(str(values["kind"]), int(values["t"]), box, arrays, dict(values["meta"]))
    except (ValueError, KeyError, TypeError, zlib.error) as error:
        raise UserError(
            f"A journal of the project holds a record that cannot be read: {error}.",
            "It was written by another version; update napari-unet.",
        ) from error


def _inflate(part: memoryview, dtype: str, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """Return an array; never more memory than its shape needs."""
    if dtype not in _DTYPES:
        raise ValueError(f"values of type {dtype!r}")
    count = prod(shape)
    stored = np.dtype(np.uint8 if dtype == "bool" else dtype).newbyteorder("<")
    size = -(-count // 8) if dtype == "bool" else count * stored.itemsize
    raw = zlib.decompressobj().decompress(part, size + 1)
    if len(raw) != size:
        raise ValueError(f"{len(raw)} bytes for the shape {shape}")
    values = np.frombuffer(raw, stored)
    if dtype == "bool":
        return np.unpackbits(values, count=count).view(bool).reshape(shape)
    return values.astype(dtype, copy=False).reshape(shape)
