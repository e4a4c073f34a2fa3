"""The residual U-Net of pytorch-3dunet, after Lee et al., "Superhuman Accuracy on the SNEMI3D Connectomics Challenge".

::

    block   x ─ 1×1 ─┬─ conv ─ conv ─┬─ + ─ activation
                     └───────────────┘
    up      transposed convolution of three voxels, then the encoder's features are added instead of concatenated
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional

ACTIVATIONS = {"r": nn.ReLU, "l": nn.LeakyReLU, "e": nn.ELU}
OUTER_SLOPE = 0.1  # of a leaky ReLU after the sum; inside a block it is torch's own


class ResidualUNet(nn.Module):
    r"""A U-Net of residual blocks whose skip connections add.

    Parameters
    ----------
    ndim : {2, 3}
        Spatial dimensions.
    in_channels, out_channels : int
        Channels.
    features : sequence of int
        Channels per level.
    order : str
        Layers of a convolution: ``g``\ roup or ``b``\ atch norm, ``c``\ onvolution, and the activation
        ``r`` (ReLU), ``l`` (leaky) or ``e`` (ELU).
    groups : int
        Of a group normalization.
    """

    def __init__(
        self, ndim: int, in_channels: int, out_channels: int, features: Sequence[int], order: str, groups: int
    ) -> None:
        super().__init__()
        order = order.replace("d", "").replace("D", "")
        widths = [in_channels, *features]
        self.encoders = nn.ModuleList(_Level(ndim, *pair, order, groups) for pair in pairwise(widths))
        self.decoders = nn.ModuleList(
            _Rise(ndim, below, width, order, groups) for below, width in pairwise(list(features)[::-1])
        )
        kind = nn.Conv2d if ndim == 2 else nn.Conv3d
        self.final_conv = kind(features[0], out_channels, 1)
        self._pool = functional.max_pool2d if ndim == 2 else functional.max_pool3d

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, C, [Z], Y, X) to logits of the same size."""
        skips: list[torch.Tensor] = []
        for level, encoder in enumerate(self.encoders):
            x = encoder(self._pool(x, 2) if level else x)
            skips.append(x)
        for decoder, skip in zip(self.decoders, skips[-2::-1], strict=True):
            x = decoder(x, skip)
        result: torch.Tensor = self.final_conv(x)
        return result


class _Level(nn.Module):
    def __init__(self, ndim: int, channels: int, following: int, order: str, groups: int) -> None:
        super().__init__()
        self.basic_module = _Block(ndim, channels, following, order, groups)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.basic_module(x)
        return result


class _Rise(nn.Module):
    def __init__(self, ndim: int, below: int, width: int, order: str, groups: int) -> None:
        super().__init__()
        kind = nn.ConvTranspose2d if ndim == 2 else nn.ConvTranspose3d
        # The names of the package: upsampling.upsample.conv_transposed.
        self.upsampling = nn.Module()
        self.upsampling.upsample = nn.Module()
        self.upsampling.upsample.conv_transposed = kind(below, width, 3, stride=2, padding=1, bias=False)
        self.basic_module = _Block(ndim, width, width, order, groups)

    def forward(self, x: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        # One voxel is missing at the end; the nearest takes its place, as in the package.
        x = functional.interpolate(self.upsampling.upsample.conv_transposed(x), size=skip.shape[2:])  # type: ignore[union-attr,operator]
        result: torch.Tensor = self.basic_module(skip + x)
        return result


class _Block(nn.Module):
    def __init__(self, ndim: int, channels: int, following: int, order: str, groups: int) -> None:
        super().__init__()
        kind = nn.Conv2d if ndim == 2 else nn.Conv3d
        self.conv1 = nn.Identity() if channels == following else kind(channels, following, 1)
        self.conv2 = _unit(ndim, following, order, groups)
        self.conv3 = _unit(ndim, following, "".join(letter for letter in order if letter not in ACTIVATIONS), groups)
        slope = "l" in order
        last = next((letter for letter in "ler" if letter in order), "r")
        self.non_linearity = nn.LeakyReLU(OUTER_SLOPE) if slope else ACTIVATIONS[last]()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv1(x)
        result: torch.Tensor = self.non_linearity(self.conv3(self.conv2(x)) + x)
        return result


def _unit(ndim: int, channels: int, order: str, groups: int) -> nn.Sequential:
    """Return one convolution with its layers, under the package's names."""
    unit = nn.Sequential()
    bias = not set("gb") & set(order)
    for letter in order:
        if letter == "c":
            convolution = nn.Conv2d if ndim == 2 else nn.Conv3d
            unit.add_module("conv", convolution(channels, channels, 3, padding=1, bias=bias))
        elif letter == "g":
            unit.add_module("groupnorm", nn.GroupNorm(groups if channels >= groups else 1, channels))
        elif letter == "b":
            unit.add_module("batchnorm", (nn.BatchNorm2d if ndim == 2 else nn.BatchNorm3d)(channels))
        else:
            unit.add_module("activation", ACTIVATIONS[letter]())
    return unit
