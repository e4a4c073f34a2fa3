"""The U-Net: one class for 2D and 3D."""

from __future__ import annotations

from itertools import pairwise
from typing import cast

import torch
from torch import nn
from torch.nn import functional

from napari_unet.errors import CheckpointError
from napari_unet.model.config import UNetConfig
from napari_unet.model.geometry import level_steps


class ConvolutionBlock(nn.Module):
    """Repeated 3×3(×3) convolutions, each with a normalization and a non-linearity.

    Parameters
    ----------
    config : UNetConfig
        Dimensions, normalization, activation, layer order, residual, dropout and bias.
    widths : tuple of int
        Channels before the first convolution and after each one.
    """

    def __init__(self, config: UNetConfig, widths: tuple[int, ...]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for channels, following in pairwise(widths):
            layers.extend(_unit(config, channels, following))
        self.layers = nn.Sequential(*layers)
        self.projection: nn.Module | None = None
        if config.residual:
            same = widths[0] == widths[-1]
            self.projection = nn.Identity() if same else _convolution(config, widths[0], widths[-1], 1)
        self.dropout = _dropout(config) if config.dropout else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, C, [Z], Y, X) to the same spatial size with the block's channels."""
        y = self.layers(x)
        if self.projection is not None:
            y = y + self.projection(x)
        return cast(torch.Tensor, y if self.dropout is None else self.dropout(y))


class UNet(nn.Module):
    """U-Net of Ronneberger et al. 2015 (2D) and Çiçek et al. 2016 (3D).

    An encoder of repeated 3×3(×3) convolutions and 2× max pooling, a bottleneck, a decoder that
    doubles the resolution, skip connections that concatenate, and a 1×1 head. The convolutions
    are zero-padded, so that the output has the input's spatial size.

    Parameters
    ----------
    config : UNetConfig
        Architecture.

    References
    ----------
    .. [1] O. Ronneberger, P. Fischer, T. Brox, "U-Net: Convolutional Networks for Biomedical
       Image Segmentation", MICCAI 2015.
    .. [2] Ö. Çiçek et al., "3D U-Net: Learning Dense Volumetric Segmentation from Sparse
       Annotation", MICCAI 2016.

    Examples
    --------
    >>> import torch
    >>> network = UNet(UNetConfig(features=(4, 8), out_channels=3))
    >>> network(torch.zeros(1, 1, 16, 20)).shape
    torch.Size([1, 3, 16, 20])
    """

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        features = config.features
        depth = len(features) - 1
        self.encoder = nn.ModuleList()
        channels = config.in_channels
        for width in features[:-1]:
            self.encoder.append(ConvolutionBlock(config, (channels, *(width,) * config.convolutions)))
            channels = width
        bottleneck = (channels, *(features[-1],) * config.bottleneck_convolutions)
        self.bottleneck = ConvolutionBlock(config, bottleneck)
        self.upsampling = nn.ModuleList()
        self.decoder = nn.ModuleList()
        channels = features[-1]
        for level in reversed(range(depth)):
            joined, widths = _decoder_widths(config, level, channels)
            self.upsampling.append(_upsampling(config, config.poolings[level], channels, joined))
            self.decoder.append(ConvolutionBlock(config, widths))
            channels = widths[-1]
        self.head: nn.Conv2d | nn.Conv3d = _convolution(config, channels, config.out_channels, 1)
        self._pool = functional.max_pool2d if config.ndim == 2 else functional.max_pool3d
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Conv3d) and max(module.kernel_size) > 1:
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Compute the logits.

        Parameters
        ----------
        x : torch.Tensor
            Images (N, in_channels, [Z], Y, X); each spatial size a multiple of the divisor.

        Returns
        -------
        torch.Tensor
            Logits (N, out_channels, [Z], Y, X) of the input's spatial size.

        Raises
        ------
        CheckpointError
            If the channels, the dimensions or a spatial size do not fit.
        """
        self._check(x)
        skips: list[torch.Tensor] = []
        for block, factors in zip(self.encoder, self.config.poolings, strict=True):
            x = block(x)
            skips.append(x)
            x = self._pool(x, factors)
        x = self.bottleneck(x)
        for up, block in zip(self.upsampling, self.decoder, strict=True):
            x = block(torch.cat((skips.pop(), up(x)), dim=1))
        return cast(torch.Tensor, self.head(x))

    def _check(self, x: torch.Tensor) -> None:
        config = self.config
        if x.ndim != config.ndim + 2 or x.shape[1] != config.in_channels:
            axes = "N, C, Y, X" if config.ndim == 2 else "N, C, Z, Y, X"
            raise CheckpointError(
                f"The network got an input of shape {tuple(x.shape)}; "
                f"it expects ({axes}) with C = {config.in_channels}.",
                "Choose the channels that the model was trained on.",
            )
        divisor = level_steps(config)[-1]
        if any(size == 0 or size % step for size, step in zip(x.shape[2:], divisor, strict=True)):
            raise CheckpointError(
                f"The network got an input of spatial size {tuple(x.shape[2:])}; "
                f"each size must be a positive multiple of {divisor}.",
                "Pad the image, or use Predictor, which does it.",
            )


class Interpolation(nn.Module):
    """Linear interpolation to a multiple of the size.

    Parameters
    ----------
    factors : tuple of int
        Factor per spatial axis.
    align_corners : bool
        See `torch.nn.functional.interpolate`.
    """

    def __init__(self, factors: tuple[int, ...], align_corners: bool) -> None:
        super().__init__()
        self.factors = factors
        self.align_corners = align_corners
        self.mode = "bilinear" if len(factors) == 2 else "trilinear"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, C, [Z], Y, X) to the enlarged grid."""
        size = [length * factor for length, factor in zip(x.shape[2:], self.factors, strict=True)]
        return functional.interpolate(x, size=size, mode=self.mode, align_corners=self.align_corners)


def _decoder_widths(config: UNetConfig, level: int, below: int) -> tuple[int, tuple[int, ...]]:
    """Channels that come up from below, and the widths of the decoder's block."""
    width = config.features[level]
    joined = width if config.upsampling == "transpose" else below
    channels = width + joined
    if config.narrow_decoder:
        last = config.features[max(level - 1, 0)]
        return joined, (channels, *(channels // 2,) * (config.convolutions - 1), last)
    return joined, (channels, *(width,) * config.convolutions)


def _convolution(
    config: UNetConfig, channels: int, following: int, kernel: int, bias: bool = True
) -> nn.Conv2d | nn.Conv3d:
    kind = nn.Conv2d if config.ndim == 2 else nn.Conv3d
    return kind(channels, following, kernel, padding=kernel // 2, bias=bias)


def _unit(config: UNetConfig, channels: int, following: int) -> list[nn.Module]:
    """One convolution with its normalization and activation, in the configured order."""
    layers: list[nn.Module] = []
    width = channels
    for letter in config.order:
        if letter == "c":
            layers.append(_convolution(config, channels, following, 3, config.bias))
            width = following
        elif letter == "a":
            layers.append(_activation(config))
        elif config.norm != "none":
            layers.append(_norm(config, width))
    return layers


def _norm(config: UNetConfig, channels: int) -> nn.Module:
    flat = config.ndim == 2
    if config.norm == "batch":
        return nn.BatchNorm2d(channels) if flat else nn.BatchNorm3d(channels)
    if config.norm == "instance":
        kind = nn.InstanceNorm2d if flat else nn.InstanceNorm3d
        return kind(channels, affine=True)
    # The image's own channels before a first normalization rarely divide into the groups.
    return nn.GroupNorm(config.groups if channels % config.groups == 0 else 1, channels)


def _activation(config: UNetConfig) -> nn.Module:
    # In place only on a fresh tensor: a leading activation would overwrite the block's input.
    before = config.order[: config.order.index("a")]
    inplace = "c" in before or ("n" in before and config.norm != "none")
    if config.activation == "relu":
        return nn.ReLU(inplace=inplace)
    if config.activation == "leaky_relu":
        return nn.LeakyReLU(0.01, inplace=inplace)
    return nn.ELU() if config.activation == "elu" else nn.SiLU()


def _dropout(config: UNetConfig) -> nn.Module:
    kind = nn.Dropout2d if config.ndim == 2 else nn.Dropout3d
    return kind(config.dropout)


def _upsampling(config: UNetConfig, factors: tuple[int, ...], channels: int, following: int) -> nn.Module:
    if config.upsampling == "interpolate":
        return Interpolation(factors, config.align_corners)
    if config.ndim == 2:
        return nn.ConvTranspose2d(channels, following, factors, stride=factors)  # type: ignore[arg-type]
    return nn.ConvTranspose3d(channels, following, factors, stride=factors)  # type: ignore[arg-type]
