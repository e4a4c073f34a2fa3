"""Our own checkpoints: a .safetensors file with the header of `CheckpointHeader`."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from napari_unet.errors import CheckpointError
from napari_unet.model.checkpoint import Checkpoint
from napari_unet.model.families.borrowing import construct
from napari_unet.model.header import CheckpointHeader
from napari_unet.model.reading import Weights
from napari_unet.model.tensorfile import DAMAGED, HEADER_KEY, TensorTable, header_of
from napari_unet.model.weights import build_network, hash_tensors, load_into

NAME = "napari-unet"


def recognize(weights: Weights) -> bool:
    """Return whether the file carries our header."""
    return HEADER_KEY in weights.metadata


def build(weights: Weights) -> Checkpoint:
    """Check header and weights against their hashes, and load strictly.

    Raises
    ------
    CheckpointError
        If a hash, the header or a tensor does not fit, or a library that defines the network is missing.
    """
    path, tensors = weights.path, weights.tensors
    header = CheckpointHeader.from_dict(header_of(path, TensorTable({}, weights.metadata)) or {})
    if header.config is None and header.blueprint is None:
        raise CheckpointError(f"{path.name} does not describe its network.", DAMAGED)
    if hash_tensors(tensors) != header.weights_hash:
        raise CheckpointError(f"{path.name} is damaged: its weights do not match their checksum.", DAMAGED)
    if header.config is not None:
        return Checkpoint(build_network(header.config, tensors, path.name), header)
    return Checkpoint(load_into(lambda: construct(header.blueprint), tensors, path.name), header)


def pack(checkpoint: Checkpoint) -> Mapping[str, Tensor]:
    """Return the weights as they are."""
    return checkpoint.network.state_dict()
