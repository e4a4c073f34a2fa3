"""What a file is, told by its first bytes, and the sentence for those that are no checkpoints."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Literal, NoReturn

from napari_unet.errors import CheckpointError
from napari_unet.model.tensorfile import DAMAGED, MAX_FILE_BYTES
from napari_unet.model.weights import STATE_DICT

Kind = Literal["safetensors", "torch"]

LEGACY_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # torch.save before torch 1.6

# Beginnings of files that people pick by mistake, with what to call them.
OTHER_FILES = (
    (b"\x89HDF", "an HDF5 file (Keras?)"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"II*\x00", "a TIFF image"),
    (b"MM\x00*", "a TIFF image"),
    (b"II+\x00", "a TIFF image"),
    (b"\x1f\x8b", "a gzip archive"),
)


def sniff(path: Path) -> Kind:
    """Recognize a checkpoint file by its first bytes.

    Parameters
    ----------
    path : Path
        What the user picked.

    Returns
    -------
    {"safetensors", "torch"}
        The container; "torch" is the zip format of `torch.save`.

    Raises
    ------
    CheckpointError
        If there is no regular file, or it is something else; the sentence says what.
    """
    name = path.name
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise CheckpointError(f"{name} is a folder, expected a checkpoint file.", "Choose the file inside it.")
        if not stat.S_ISREG(status.st_mode):
            raise CheckpointError(f"{name} is a device or a pipe, expected a checkpoint file.", "Choose a file.")
        with path.open("rb") as stream:
            start = stream.read(64)
    except OSError as error:
        raise CheckpointError(f"{name} cannot be read: {error.strerror}.", "Check the path and its rights.") from error
    if status.st_size > MAX_FILE_BYTES:
        raise CheckpointError(f"{name} has {status.st_size} bytes, more than {MAX_FILE_BYTES}.", STATE_DICT)
    if not start:
        raise CheckpointError(f"{name} is empty, expected a checkpoint.", DAMAGED)
    if start.startswith(b"PK\x03\x04"):
        return "torch"
    if len(start) > 8 and start[8:9] == b"{":
        return "safetensors"
    _refuse_content(name, start)


def _refuse_content(name: str, start: bytes) -> NoReturn:
    if start.startswith(LEGACY_MAGIC):
        raise CheckpointError(
            f"{name} is in the format of torch before 1.6, whose bytes carry no checksum.",
            "Save it again with a recent torch: torch.save(torch.load(file, weights_only=True), new_file).",
        )
    if start[:1] == b"\x80" or start[:2] in (b"(d", b"(l", b"c_", b"cp", b"ci"):
        raise CheckpointError(f"{name} is a Python pickle, which can contain code; it was not opened.", STATE_DICT)
    if start.lstrip()[:1] == b"<":
        raise CheckpointError(f"{name} is a web page, not a checkpoint.", "The download failed; download it again.")
    for magic, kind in OTHER_FILES:
        if start.startswith(magic):
            raise CheckpointError(f"{name} is {kind}, not a checkpoint.", "Choose a .safetensors, .pt or .pth file.")
    raise CheckpointError(
        f"{name} is no checkpoint: it begins with {start[:8]!r}.",
        "Expected a .safetensors file, or weights saved with torch.save.",
    )
