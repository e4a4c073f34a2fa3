"""Networks that learned from volumes with their axes in another order: their kernels are turned once, when opened.

::

    learned from  X, Y, Z    kernel (out, in, x, y, z)   ─┐ the same scores, for the turned image
    used on       Z, Y, X    kernel (out, in, z, y, x)   ─┘
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from napari_unet.errors import CheckpointError
from napari_unet.model.checkpoint import Checkpoint
from napari_unet.model.weights import hash_tensors, once_each

AXES = "ZYX"
KEY = "axes"  # of an origin's details
TOLERANCE = 1e-4


def turned(checkpoint: Checkpoint, axes: str) -> Checkpoint:
    """Return a 3D network that takes (Z, Y, X) and gives the scores of one that learned from another order.

    Parameters
    ----------
    checkpoint : Checkpoint
        Not changed.
    axes : str
        The order that it learned from, such as ``"XYZ"``; nothing is done for ``"ZYX"`` and an empty text.

    Raises
    ------
    CheckpointError
        If the network is not 3D or a program, or treats its axes differently, so that turned kernels are not enough.
    """
    header = checkpoint.header
    if axes in ("", AXES):
        return checkpoint
    if header.ndim != 3 or header.program is not None or header.origin is None:
        raise CheckpointError(
            f"The axes of {header.name} cannot be {axes}: only 3D networks whose weights are read can be turned.",
            "Leave the axes as they are.",
        )
    network = copy.deepcopy(checkpoint.network)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim == 5:
                parameter.data = parameter.permute(_kernel_axes(axes)).contiguous()
    order = tuple(axes.index(letter) for letter in AXES)
    if not _gives_the_same(network, checkpoint, order):
        raise CheckpointError(
            f"{header.name} treats its axes differently, so they cannot be taken for {axes}.",
            "Turn the images instead, or export the network with its axes in the order Z, Y, X.",
        )
    blueprint = header.blueprint
    if blueprint is not None:
        reach = tuple(blueprint.reach[axis] for axis in order) if blueprint.reach else ()
        blueprint = replace(blueprint, reach=reach)
    origin = replace(header.origin, details={**header.origin.details, KEY: axes})
    found = hash_tensors(once_each(network))
    return Checkpoint(network, replace(header, blueprint=blueprint, origin=origin, weights_hash=found))


def turned_back(tensors: Mapping[str, Tensor], axes: str) -> Mapping[str, Tensor]:
    """Return the weights of a turned network as they were in its file."""
    if axes in ("", AXES):
        return tensors
    back = (0, 1, *(2 + AXES.index(letter) for letter in axes))
    return {name: tensor.permute(back).contiguous() if tensor.ndim == 5 else tensor for name, tensor in tensors.items()}


def _kernel_axes(axes: str) -> tuple[int, ...]:
    return (0, 1, *(2 + axes.index(letter) for letter in AXES))


def _gives_the_same(network: nn.Module, before: Checkpoint, order: tuple[int, ...]) -> bool:
    """Whether a turned network gives, for a turned image, the turned scores."""
    side = 2 * max(*before.geometry.divisor, 8)
    image = torch.rand((1, before.header.in_channels, side, side, side), generator=torch.Generator().manual_seed(0))
    there = (0, 1, *(2 + axis for axis in order))
    try:
        with torch.no_grad():
            expected, found = before.network(image).permute(there), network(image.permute(there).contiguous())
    except RuntimeError:
        return False  # a kernel that was turned does not fit its padding
    same = expected.shape == found.shape
    return same and float((expected - found).abs().max()) <= TOLERANCE * max(1.0, float(expected.abs().max()))
