"""Our own checkpoints: a .safetensors file with the header of `CheckpointHeader`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from napari_unet.errors import CheckpointError
from napari_unet.model.checkpoint import Checkpoint
from napari_unet.model.header import CheckpointHeader
from napari_unet.model.tensorfile import DAMAGED, HEADER_KEY, TensorTable, header_of
from napari_unet.model.weights import build_network, hash_tensors

NAME = "napari-unet"


def recognize(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bool:
    """Return whether the file carries our header."""
    return HEADER_KEY in metadata


def build(tensors: Mapping[str, Tensor], metadata: Mapping[str, str], path: Path) -> Checkpoint:
    """Check header and weights against their hashes, and load strictly.

    Raises
    ------
    CheckpointError
        If a hash, the header or a tensor does not fit.
    """
    header = CheckpointHeader.from_dict(header_of(path, TensorTable({}, metadata)) or {})
    if header.config is None:
        raise CheckpointError(f"{path.name} does not describe its network.", DAMAGED)
    if hash_tensors(tensors) != header.weights_hash:
        raise CheckpointError(f"{path.name} is damaged: its weights do not match their checksum.", DAMAGED)
    return Checkpoint(build_network(header.config, tensors, path.name), header)
