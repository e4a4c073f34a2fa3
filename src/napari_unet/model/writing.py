"""Checkpoint → file: hashed, written beside the target, read back, then renamed."""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save
from torch import nn

from napari_unet.errors import CheckpointError, OutputError
from napari_unet.model.fitting import Fitted, program_tensors
from napari_unet.model.header import CheckpointHeader
from napari_unet.model.tensorfile import HEADER_HASH_KEY, HEADER_KEY, hash_text
from napari_unet.model.weights import hash_tensors, once_each


def write_checkpoint(path: Path, network: nn.Module, header: CheckpointHeader, half: bool = False) -> CheckpointHeader:
    """Write one .safetensors file.

    Parameters
    ----------
    path : Path
        Where; an existing file is replaced only once the new one is complete.
    network : torch.nn.Module
        What the header describes.
    header : CheckpointHeader
        Must carry the network's configuration or blueprint.
    half : bool
        Store the weights in float16 instead of float32.

    Returns
    -------
    CheckpointHeader
        With the hash of the weights.

    Raises
    ------
    CheckpointError
        If the header has no configuration, or a weight is NaN or infinite.
    OutputError
        If the file cannot be written.
    """
    if header.config is None and header.blueprint is None and header.program is None:
        raise CheckpointError(
            f"{header.name} cannot be saved: only U-Nets of this package can be rebuilt from a file.",
            "Save the network with the program it comes from.",
        )
    found = program_tensors(network) if isinstance(network, Fitted) else once_each(network)
    tensors = {name: _stored(tensor, half) for name, tensor in found.items()}
    for name, tensor in tensors.items():
        if not bool(torch.isfinite(tensor).all()):
            raise CheckpointError(
                f"{header.name} cannot be saved: {name} contains NaN or infinite values.",
                "Training diverged; go back to the parent.",
            )
    # What is written is ours, whichever family the weights came from.
    header = replace(header, weights_hash=hash_tensors(tensors), family="napari-unet")
    text = json.dumps(header.to_dict(), allow_nan=False)
    replace_file(path, save(tensors, metadata={HEADER_KEY: text, HEADER_HASH_KEY: hash_text(text)}))
    return header


def _stored(tensor: torch.Tensor, half: bool) -> torch.Tensor:
    tensor = tensor.detach().cpu()
    kind = torch.float16 if half else torch.float32
    return (tensor.to(kind) if tensor.is_floating_point() else tensor).contiguous().clone()


def replace_file(path: Path, content: bytes) -> None:
    """Write to a temporary name in the same folder, flush, compare, rename."""
    temporary = path.with_name(f".{secrets.token_hex(8)}.partial")
    try:
        with temporary.open("xb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        if temporary.read_bytes() != content:
            raise OutputError(f"{path} was written but reads back differently.", "Check the disk.")
        temporary.replace(path)
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written: {error.strerror}.", "Choose a folder that exists and can be written."
        ) from error
    finally:
        temporary.unlink(missing_ok=True)  # gone already when it was renamed
