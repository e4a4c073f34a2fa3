"""The outside of a .safetensors file, checked before a byte of a tensor is read. Free of torch.

::

    8 bytes: n │ n bytes of JSON: name → dtype, shape, offsets; __metadata__ │ tensor bytes ... end of file
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from napari_unet.errors import CheckpointError

HEADER_KEY = "napari-unet"
HEADER_HASH_KEY = "napari-unet-sha256"

MAX_HEADER_BYTES = 8 * 2**20
MAX_FILE_BYTES = 4 * 2**30
MAX_TENSORS = 20_000
MAX_KEY = 512
MAX_DIMENSIONS = 8
ITEM_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}

DAMAGED = "The file is damaged or was not saved completely; copy or download it again."


@dataclass(frozen=True)
class TensorEntry:
    """One tensor of the file: dtype as safetensors names it, shape, byte range in the data."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


@dataclass(frozen=True)
class TensorTable:
    """Tensors by name, and the file's text metadata."""

    tensors: Mapping[str, TensorEntry]
    metadata: Mapping[str, str]


def read_table(path: Path) -> TensorTable:
    """Read and check the table of a .safetensors file.

    Parameters
    ----------
    path : Path
        A regular file.

    Returns
    -------
    TensorTable
        Tensors whose byte ranges lie in the file, without gap or overlap.

    Raises
    ------
    CheckpointError
        If a length, offset, dtype, shape or name is not what the format allows, or out of bounds.
    """
    size = path.stat().st_size
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if size > MAX_FILE_BYTES:
            _refuse(path, f"has {size} bytes, more than the {MAX_FILE_BYTES} allowed")
        if size < 10 or not 2 <= length <= min(size - 8, MAX_HEADER_BYTES):
            _refuse(path, f"declares a header of {length} bytes in a file of {size}")
        raw = stream.read(length)
    if not (raw.startswith(b"{") and raw.rstrip(b" ").endswith(b"}")):  # only spaces pad the header
        _refuse(path, "has a header that is no mapping")
    try:
        content = json.loads(raw.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path.name} has a header that cannot be read: {error}.", DAMAGED) from error
    metadata = content.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        _refuse(path, "has metadata that is no text")
    if len(content) > MAX_TENSORS:
        _refuse(path, f"lists {len(content)} tensors, more than the {MAX_TENSORS} allowed")
    tensors = {name: _entry(path, name, value) for name, value in content.items()}
    _check_ranges(path, tensors, size - 8 - length)
    return TensorTable(tensors, metadata)


def header_of(path: Path, table: TensorTable) -> dict[str, Any] | None:
    """Return the JSON header of one of our own files, checked against its hash; None for other files.

    Raises
    ------
    CheckpointError
        If the header does not match its hash or is no JSON mapping.
    """
    text = table.metadata.get(HEADER_KEY)
    if text is None:
        return None
    if hash_text(text) != table.metadata.get(HEADER_HASH_KEY):
        _refuse(path, "has a header that does not match its checksum")
    try:
        header = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path.name} has a header that cannot be read: {error}.", DAMAGED) from error
    if not isinstance(header, dict):
        _refuse(path, "has a header that is no mapping")
    return header


def hash_text(text: str) -> str:
    """SHA-256 of a text in UTF-8, hexadecimal."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _entry(path: Path, name: str, value: object) -> TensorEntry:
    if not 0 < len(name) <= MAX_KEY:
        _refuse(path, f"has a tensor name of {len(name)} characters")
    if not isinstance(value, dict) or set(value) != {"dtype", "shape", "data_offsets"}:
        _refuse(path, f"describes the tensor {name!r} in an unknown way")
    dtype, shape, offsets = value["dtype"], value["shape"], value["data_offsets"]
    if not isinstance(dtype, str) or dtype not in ITEM_BYTES:
        _refuse(path, f"stores the tensor {name!r} as {dtype!r:.40}, expected one of {', '.join(ITEM_BYTES)}")
    if not isinstance(shape, list) or len(shape) > MAX_DIMENSIONS or not all(_is_size(length) for length in shape):
        _refuse(path, f"gives the tensor {name!r} the shape {shape!r:.80}")
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(_is_size(offset) for offset in offsets):
        _refuse(path, f"gives the tensor {name!r} the offsets {offsets!r:.80}")
    if offsets[1] - offsets[0] != math.prod(shape) * ITEM_BYTES[dtype]:
        _refuse(path, f"stores {offsets[1] - offsets[0]} bytes for the tensor {name!r} of shape {tuple(shape)}")
    return TensorEntry(dtype, tuple(shape), offsets[0], offsets[1])


def _check_ranges(path: Path, tensors: Mapping[str, TensorEntry], size: int) -> None:
    """Refuse tensors that do not fill the data section exactly: holes, overlaps, bytes after the last."""
    reached = 0
    for name, entry in sorted(tensors.items(), key=lambda item: (item[1].start, item[1].end)):
        if entry.start != reached:
            _refuse(path, f"has a gap or an overlap before the tensor {name!r}")
        reached = entry.end
    if reached != size:
        _refuse(path, f"has {size} tensor bytes where {reached} were declared")


def _is_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**48


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a name occurs twice")
    return result


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number")


def _refuse(path: Path, problem: str) -> NoReturn:
    raise CheckpointError(f"{path.name} {problem}.", DAMAGED)
