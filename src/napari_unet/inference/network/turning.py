"""A U-Net with its spatial axes in another order, so that any of them can come first."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace

from torch import nn

from napari_unet.model.config import UNetConfig
from napari_unet.model.unet import Interpolation, Repetition, UNet


def axis_order(ndim: int, along: int) -> tuple[int, ...]:
    """Return the spatial axes of a network with the one to pass along first.

    Parameters
    ----------
    ndim : {2, 3}
        Of the network.
    along : int
        Axis of (z, y, x).

    Examples
    --------
    >>> axis_order(3, 1), axis_order(2, 1)
    ((1, 0, 2), (0, 1))
    """
    first = along - (3 - ndim)
    return (first, *(axis for axis in range(ndim) if axis != first))


def turned(config: UNetConfig, order: Sequence[int]) -> UNetConfig:
    """Return the configuration with its axes in another order."""
    pooling = tuple(tuple(factors[axis] for axis in order) for factors in config.poolings)
    kernels = config.kernels and tuple(tuple(sizes[axis] for axis in order) for sizes in config.kernels)
    return replace(config, pooling=pooling, kernels=kernels)


def turned_network(network: UNet, order: Sequence[int]) -> UNet:
    """Return a copy of a network that takes its input with the axes in another order.

    Parameters
    ----------
    network : UNet
        It stays as it is.
    order : sequence of int
        Its spatial axes, in the new order.
    """
    copied = deepcopy(network)
    copied.config = turned(network.config, order)
    for module in copied.modules():
        if isinstance(module, Interpolation | Repetition):
            module.factors = tuple(module.factors[axis] for axis in order)
        if not isinstance(module, nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d | nn.ConvTranspose3d):
            continue
        weight = module.weight.detach().permute(0, 1, *(2 + axis for axis in order)).contiguous()
        module.weight = nn.Parameter(weight, requires_grad=False)
        for name in ("kernel_size", "stride", "padding", "dilation", "output_padding"):
            values = getattr(module, name)
            setattr(module, name, tuple(values[axis] for axis in order))
        module._reversed_padding_repeated_twice = _repeated(module.padding)
    return copied


def _repeated(padding: object) -> list[int]:
    """Return the padding as `torch.nn.functional.pad` takes it, which convolutions keep beside it."""
    return [n for n in reversed(padding) for _ in range(2)] if isinstance(padding, tuple) else []
