"""A network of colour images for gray ones."""

from __future__ import annotations

import copy
from dataclasses import replace

import torch
from torch import nn

from napari_unet.errors import CheckpointError
from napari_unet.model.checkpoint import Checkpoint
from napari_unet.model.unet import UNet


def for_gray(checkpoint: Checkpoint) -> Checkpoint:
    """Return a network that takes one channel and answers what its parent does where that is repeated.

    The first layer is linear: its weights for the channels are added up.

    Parameters
    ----------
    checkpoint : Checkpoint
        A U-Net of ours that takes gray images repeated; stays as it is.

    Raises
    ------
    CheckpointError
        If it does not, or is another network.
    """
    header, network = checkpoint.header, copy.deepcopy(checkpoint.network)
    if not isinstance(network, UNet) or header.config is None or not header.repeat_gray:
        raise CheckpointError(
            f"The model {header.name!r} cannot be made one of gray images; expected a U-Net of ours that takes them.",
            "Use it as it is.",
        )
    first = next(module for module in network.modules() if isinstance(module, (nn.Conv2d, nn.Conv3d)))
    with torch.no_grad():
        first.weight = nn.Parameter(first.weight.sum(1, keepdim=True))
    first.in_channels = 1
    network.config = config = replace(header.config, in_channels=1)
    return Checkpoint(network, replace(header, config=config, in_channels=1, repeat_gray=False, weights_hash=""))
