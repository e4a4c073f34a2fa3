"""Weights back in the format that they came in, so that their own program opens them.

A file becomes a file with the same keys in the same containers; a folder becomes a folder with the same documents.
What belongs to an interrupted training, such as the optimizer's state, is not written: it would not fit the new
weights.
"""

from __future__ import annotations

import io
import json
import os
import secrets
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as save_tensors

from napari_unet.errors import OutputError
from napari_unet.model.checkpoint import Checkpoint
from napari_unet.model.families import LEFT_OUT, pack_weights
from napari_unet.model.origin import Origin
from napari_unet.model.writing import replace_file

CHANNELS = ("out_channels", "classes", "num_classes")  # what configurations call the number of output channels


def write_original(checkpoint: Checkpoint, path: str | Path) -> tuple[str, ...]:
    """Write a checkpoint in the format that its weights came in.

    Parameters
    ----------
    checkpoint : Checkpoint
        With an origin: it, or the one that it was trained from, was opened from another program's file.
    path : str or Path
        A file, or a folder that does not exist yet if a folder was opened.

    Returns
    -------
    tuple of str
        What the user should know, as sentences.

    Raises
    ------
    CheckpointError
        If the checkpoint did not come from another program.
    OutputError
        If it cannot be written; then nothing is left behind.
    """
    tensors = pack_weights(checkpoint)
    origin = checkpoint.header.origin
    if origin is None:  # pack_weights has said so already
        return ()
    path = Path(path)
    notes = [f"Written as {origin.family} wrote it, with {len(tensors)} tensors under its own names."]
    notes += [
        f"Not part of the network and not written: {one.value}." for one in origin.findings if one.what == LEFT_OUT
    ]
    if not origin.file:
        replace_file(path, _content(origin, tensors, path.suffix == ".safetensors", checkpoint.header.out_channels))
        if _files(origin):
            notes.append(f"Beside the first file lay {', '.join(_files(origin))}; copy them where they are needed.")
        return tuple(notes)
    _write_folder(path, origin, tensors, checkpoint.header.out_channels)
    return tuple(notes)


def _write_folder(path: Path, origin: Origin, tensors: dict[str, torch.Tensor], channels: int) -> None:
    """Write a folder beside its place, and rename it when it is complete."""
    if path.exists():
        raise OutputError(f"{path} exists already.", "Give the name of a new folder.")
    temporary = path.with_name(f".{secrets.token_hex(8)}.partial")
    try:
        file = temporary / origin.file
        file.parent.mkdir(parents=True)
        file.write_bytes(_content(origin, tensors, file.suffix == ".safetensors", channels))
        for name, document in ((name, origin.documents[name]) for name in _files(origin)):
            target = temporary / name
            target.parent.mkdir(parents=True, exist_ok=True)
            # JSON is also YAML.
            target.write_text(json.dumps(_renewed(document, channels), indent=2), encoding="utf-8")
        os.replace(temporary, path)
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written: {error.strerror}.", "Choose a place that exists and can be written."
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _files(origin: Origin) -> list[str]:
    """Return the documents that are files; the constructor's arguments of a package are none."""
    return [name for name in origin.documents if "." in name]


def _content(origin: Origin, tensors: dict[str, torch.Tensor], safe: bool, channels: int) -> bytes:
    """Return the bytes of the file."""
    if safe:
        return save_tensors({name: tensor.contiguous().clone() for name, tensor in tensors.items()})
    content: dict[str, Any] = tensors
    for depth, key in enumerate(reversed(origin.container)):
        beside = _renewed(origin.beside, channels) if depth == len(origin.container) - 1 else {}
        content = {**beside, key: content}
    stream = io.BytesIO()
    torch.save(content, stream)
    return stream.getvalue()


def _renewed(value: Any, channels: int) -> Any:
    """Return plain values with the number of output channels of now, without classes that were only named.

    A class that a file named can be written as a text only, which its program could not use; the networks
    opened here are those with the usual ones.
    """
    if isinstance(value, list):
        return [_renewed(item, channels) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: channels if key in CHANNELS and isinstance(item, int) else _renewed(item, channels)
        for key, item in value.items()
        if not key.endswith("_impl")
    }
