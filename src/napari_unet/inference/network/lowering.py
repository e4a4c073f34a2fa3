"""A network's convolutions as this machine runs them fastest: weights cast and packed once, activation included.

On the CPU torch decides anew at every call whether oneDNN may take a convolution (in 3D it often falls back to a slow
path for small inputs), reorders the weights, and lets a ReLU pass over the result a second time. The operators that
torch's own compiler uses take packed weights and an activation. They are used where they exist, and only if
a probe gives the same result (`napari_unet.inference.network.engine`).
"""

from __future__ import annotations

from typing import cast

import torch
from torch import nn
from torch.nn import functional

Convolution = nn.Conv2d | nn.Conv3d
_TRANSPOSED = (nn.ConvTranspose2d, nn.ConvTranspose3d)
_FUSED = {nn.ReLU: "relu", nn.LeakyReLU: "leaky_relu", nn.SiLU: "swish"}
_PACKED_FOR = {2: (64, 64), 3: (16, 32, 32)}  # the input size for which weights are packed; others work as well


def has_packed_convolutions(kind: str) -> bool:
    """Whether torch offers convolutions with packed weights on this kind of device."""
    return (
        kind == "cpu"
        and bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]
        and all(
            hasattr(torch.ops.mkldnn, name)
            for name in (
                "_convolution_pointwise",
                "_convolution_transpose_pointwise",
                "_reorder_convolution_weight",
                "_reorder_convolution_transpose_weight",
            )
        )
    )


class FastConvolution(nn.Module):
    """A convolution, on the CPU with packed weights, and the activation that follows it.

    Parameters
    ----------
    source : torch.nn.Conv2d or torch.nn.Conv3d
        With zero padding. It stays as it is.
    dtype : torch.dtype
        What to compute in.
    activation : torch.nn.Module, optional
        Applied to the result.
    packed : bool
        Use oneDNN's packed weights.
    """

    def __init__(self, source: Convolution, dtype: torch.dtype, activation: nn.Module | None, packed: bool) -> None:
        super().__init__()
        dims = source.weight.ndim - 2
        self.dtype, self.packed, self.dims = dtype, packed, dims
        self.reach = source.kernel_size[0] // 2
        self.padding = [int(p) for p in cast(tuple[int, ...], source.padding)]
        self.stride, self.dilation, self.groups = list(source.stride), list(source.dilation), source.groups
        fused = packed and type(activation) in _FUSED
        self.attribute = _FUSED[type(activation)] if fused and activation is not None else "none"
        self.scalars = [activation.negative_slope] if fused and isinstance(activation, nn.LeakyReLU) else []
        self.after = None if fused else activation
        weight = source.weight.detach().to(dtype)
        bias = None if source.bias is None else source.bias.detach().to(dtype)
        if packed:
            # Packed tensors are no buffers: they can be neither copied nor moved, and never have to be.
            size = [1, source.in_channels, *_PACKED_FOR[dims]]
            self.weight = torch.ops.mkldnn._reorder_convolution_weight(
                weight, self.padding, self.stride, self.dilation, self.groups, size
            )
            self.bias = bias
        else:
            self.register_buffer("weight", weight)
            self.register_buffer("bias", bias)

    def forward(self, x: torch.Tensor, padding: list[int] | None = None) -> torch.Tensor:
        """Convolve, with `padding` instead of the usual one, and activate."""
        x = x if x.dtype == self.dtype else x.to(self.dtype)
        padding = self.padding if padding is None else padding
        rest = (padding, self.stride, self.dilation, self.groups)
        if self.packed:
            y = torch.ops.mkldnn._convolution_pointwise(
                x, self.weight, self.bias, *rest, self.attribute, self.scalars, ""
            )
        else:
            convolve = functional.conv2d if self.dims == 2 else functional.conv3d
            y = convolve(x, self.weight, self.bias, rest[1], rest[0], *rest[2:])
        return cast(torch.Tensor, y if self.after is None else self.after(y))

    def along(self, x: torch.Tensor) -> torch.Tensor:
        """Convolve without padding along the first spatial axis."""
        return cast(torch.Tensor, self(x, [0, *self.padding[1:]]))


class FastTransposed(nn.Module):
    """A transposed convolution with packed weights.

    Parameters
    ----------
    source : torch.nn.ConvTranspose2d or torch.nn.ConvTranspose3d
        It stays as it is.
    dtype : torch.dtype
        What to compute in.
    """

    def __init__(self, source: nn.ConvTranspose2d | nn.ConvTranspose3d, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype
        self.settings = (
            list(cast(tuple[int, ...], source.padding)),
            list(source.output_padding),
            list(source.stride),
            list(source.dilation),
            source.groups,
        )
        size = [1, source.in_channels, *_PACKED_FOR[source.weight.ndim - 2]]
        self.weight = torch.ops.mkldnn._reorder_convolution_transpose_weight(
            source.weight.detach().to(dtype), *self.settings, size
        )
        self.bias = None if source.bias is None else source.bias.detach().to(dtype)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Convolve."""
        x = x if x.dtype == self.dtype else x.to(self.dtype)
        return cast(
            torch.Tensor,
            torch.ops.mkldnn._convolution_transpose_pointwise(
                x, self.weight, self.bias, *self.settings, "none", [], ""
            ),
        )


def lower(network: nn.Module, dtype: torch.dtype, packed: bool) -> nn.Module:
    """Replace the convolutions of a network, in place.

    Parameters
    ----------
    network : torch.nn.Module
        In evaluation mode, in float32. Pass a copy.
    dtype : torch.dtype
        What its convolutions are to compute in; the other layers keep their parameters.
    packed : bool
        See `has_packed_convolutions`.

    Returns
    -------
    torch.nn.Module
        The same network.
    """
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if type(child) in (nn.Conv2d, nn.Conv3d) and _plain(child):
                activation = _following(module, name)
                setattr(module, name, FastConvolution(child, dtype, activation, packed))  # type: ignore[arg-type]
            elif type(child) in _TRANSPOSED:
                setattr(module, name, FastTransposed(child, dtype) if packed else child.to(dtype))  # type: ignore[arg-type]
    return network


def _plain(convolution: nn.Module) -> bool:
    """Whether nothing but weight and bias makes up a convolution (no other padding, no hook that makes its weight)."""
    return (
        getattr(convolution, "padding_mode", "") == "zeros"
        and not isinstance(getattr(convolution, "padding", ""), str)
        and not convolution._forward_pre_hooks
        and not convolution._forward_hooks
        and {name for name, _ in convolution.named_parameters()} <= {"weight", "bias"}
    )


def _following(parent: nn.Module, name: str) -> nn.Module | None:
    """Take the activation out of a sequence that follows a convolution there, with nothing in between."""
    if not isinstance(parent, nn.Sequential):
        return None
    for index in range(int(name) + 1, len(parent)) if name.isdigit() else ():
        layer = parent[index]
        if type(layer) in _FUSED:
            parent[index] = nn.Identity()
            return layer
        if type(layer) is not nn.Identity:
            return None
    return None
