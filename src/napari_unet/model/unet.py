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
    level : int
        Of the block; the bottleneck is the last.
    """

    def __init__(self, config: UNetConfig, widths: tuple[int, ...], level: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for channels, following in pairwise(widths):
            layers.extend(_unit(config, channels, following, config.kernel(level)))
        self.layers = nn.Sequential(*layers)
        self.projection: nn.Module | None = None
        if config.residual:
            same = widths[0] == widths[-1]
            self.projection = nn.Identity() if same else pointwise(config, widths[0], widths[-1])
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
        widths = config.channels
        depth = len(widths.rising)
        blocks = [
            ConvolutionBlock(config, (before, *level), index)
            for index, (before, level) in enumerate(
                zip((config.in_channels, *config.features[:-1]), widths.encoder, strict=True)
            )
        ]
        self.encoder = nn.ModuleList(blocks[:-1])
        self.bottleneck = blocks[-1]
        self.upsampling = nn.ModuleList()
        self.decoder = nn.ModuleList()
        channels = config.features[-1]
        for level in reversed(range(depth)):
            rising = widths.rising[level]
            self.upsampling.append(_upsampling(config, config.poolings[level], channels, rising))
            joined = (config.features[level] + rising, *widths.decoder[level])
            self.decoder.append(ConvolutionBlock(config, joined, level))
            channels = joined[-1]
        self.head = pointwise(config, channels, config.out_channels)
        self._pool = functional.max_pool2d if config.ndim == 2 else functional.max_pool3d
        for module in self.modules():
            # On the meta device there is nothing to fill, and to try it imports torch's compiler for two seconds.
            if isinstance(module, nn.Conv2d | nn.Conv3d) and max(module.kernel_size) > 1 and not module.weight.is_meta:
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
    projection : torch.nn.Module, optional
        A 1×1 convolution before: with linear interpolation it may as well come after, where it costs more.
    """

    def __init__(self, factors: tuple[int, ...], align_corners: bool, projection: nn.Module | None = None) -> None:
        super().__init__()
        self.factors = factors
        self.align_corners = align_corners
        self.mode = "bilinear" if len(factors) == 2 else "trilinear"
        self.projection = projection

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, C, [Z], Y, X) to the enlarged grid."""
        x = x if self.projection is None else self.projection(x)
        size = [length * factor for length, factor in zip(x.shape[2:], self.factors, strict=True)]
        return functional.interpolate(x, size=size, mode=self.mode, align_corners=self.align_corners)


class Repetition(nn.Module):
    """Each voxel repeated to a multiple of the size: interpolation by the nearest neighbour.

    Parameters
    ----------
    factors : tuple of int
        Factor per spatial axis.
    projection : torch.nn.Module, optional
        A 1×1 convolution before.
    """

    def __init__(self, factors: tuple[int, ...], projection: nn.Module | None = None) -> None:
        super().__init__()
        self.factors = factors
        self.projection = projection

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, C, [Z], Y, X) to the enlarged grid."""
        x = x if self.projection is None else self.projection(x)
        size = [length * factor for length, factor in zip(x.shape[2:], self.factors, strict=True)]
        return functional.interpolate(x, size=size, mode="nearest")


def pointwise(config: UNetConfig, channels: int, following: int) -> nn.Conv2d | nn.Conv3d:
    """Return a 1×1 convolution."""
    return _convolution(config, channels, following, (1,) * config.ndim)


def _convolution(
    config: UNetConfig, channels: int, following: int, kernel: tuple[int, ...], bias: bool = True
) -> nn.Conv2d | nn.Conv3d:
    kind = nn.Conv2d if config.ndim == 2 else nn.Conv3d
    padding = tuple(size // 2 for size in kernel)
    return kind(channels, following, kernel, padding=padding, bias=bias)  # type: ignore[arg-type]


def _unit(config: UNetConfig, channels: int, following: int, kernel: tuple[int, ...]) -> list[nn.Module]:
    """One convolution with its normalization and activation, in the configured order."""
    layers: list[nn.Module] = []
    width = channels
    for letter in config.order:
        if letter == "c":
            layers.append(_convolution(config, channels, following, kernel, config.bias))
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
        return kind(channels, affine=config.affine)
    if config.split_few and channels < config.groups:
        return nn.GroupNorm(channels, channels)
    # The image's own channels before a first normalization rarely divide into the groups.
    return nn.GroupNorm(config.groups if channels % config.groups == 0 else 1, channels)


def _activation(config: UNetConfig) -> nn.Module:
    # In place only on a fresh tensor: a leading activation would overwrite the block's input.
    before = config.order[: config.order.index("a")]
    inplace = "c" in before or ("n" in before and config.norm != "none")
    if config.activation == "relu":
        return nn.ReLU(inplace=inplace)
    if config.activation == "leaky_relu":
        return nn.LeakyReLU(config.slope, inplace=inplace)
    return nn.ELU() if config.activation == "elu" else nn.SiLU()


def _dropout(config: UNetConfig) -> nn.Module:
    kind = nn.Dropout2d if config.ndim == 2 else nn.Dropout3d
    return kind(config.dropout)


def _upsampling(config: UNetConfig, factors: tuple[int, ...], channels: int, following: int) -> nn.Module:
    if config.upsampling != "transpose":
        projection = pointwise(config, channels, following) if config.project and channels != following else None
        if config.upsampling == "nearest":
            return Repetition(factors, projection)
        return Interpolation(factors, config.align_corners, projection)
    if config.ndim == 2:
        return nn.ConvTranspose2d(channels, following, factors, stride=factors)  # type: ignore[arg-type]
    return nn.ConvTranspose3d(channels, following, factors, stride=factors)  # type: ignore[arg-type]
