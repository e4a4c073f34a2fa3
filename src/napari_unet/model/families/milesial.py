"""Bare state dicts of github.com/milesial/Pytorch-UNet, transposed and bilinear.

The architecture follows from the weights: ``up1.up.weight`` is there when the decoder uses
transposed convolutions, and the bilinear one halves the channels before each skip connection.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from napari_unet.errors import CheckpointError
from napari_unet.image.normalize import Normalization
from napari_unet.model.checkpoint import Checkpoint
from napari_unet.model.config import UNetConfig
from napari_unet.model.families.remapping import Known, own_checkpoint, packed, unet_names
from napari_unet.model.origin import Finding
from napari_unet.model.reading import Weights

NAME = "milesial"
FIRST, LAST = "inc.double_conv.0.weight", "outc.conv.weight"
BLOCK = "double_conv.3.weight"


def recognize(weights: Weights) -> bool:
    """Return whether the first and the last convolution have milesial's names."""
    return FIRST in weights.tensors and LAST in weights.tensors


def build(weights: Weights) -> Checkpoint:
    """Infer the architecture and load strictly.

    Raises
    ------
    CheckpointError
        If the tensors are not a whole milesial U-Net.
    """
    config = infer_config(weights.tensors, weights.path.name)
    known = Known(
        variant="UNet",
        # Its training code divides 8-bit images by 255.
        normalization=Normalization(method="fixed", offset=(0.0,), scale=(255.0,), per_channel=False),
        findings=(
            Finding("upsampling", config.upsampling, "weights"),
            Finding("normalization", "8-bit images divided by 255, as its own training does", "assumed"),
        ),
    )
    return own_checkpoint(NAME, weights, config, names_of(config), known)


def pack(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """Return the weights under milesial's names."""
    assert checkpoint.header.config is not None
    return packed(checkpoint, names_of(checkpoint.header.config))


def infer_config(tensors: Mapping[str, Tensor], file_name: str) -> UNetConfig:
    """Read channels, levels and upsampling from the shapes.

    Raises
    ------
    CheckpointError
        If a shape is no convolution's, or out of bounds.
    """
    depth = 0
    while f"down{depth + 1}.maxpool_conv.1.{BLOCK}" in tensors:
        depth += 1
    blocks = [f"inc.{BLOCK}", *(f"down{level}.maxpool_conv.1.{BLOCK}" for level in range(1, depth + 1))]
    weights = [tensors.get(name) for name in (*blocks, FIRST, LAST)]
    if any(weight is None or weight.ndim != 4 for weight in weights):
        raise CheckpointError(
            f"{file_name} looks like a milesial U-Net, but a convolution is missing or not two-dimensional.",
            "Save the state dict of the whole network.",
        )
    transposed = "up1.up.weight" in tensors
    return UNetConfig(
        ndim=2,
        in_channels=tensors[FIRST].shape[1],
        out_channels=tensors[LAST].shape[0],
        features=tuple(tensors[name].shape[0] for name in blocks),
        upsampling="transpose" if transposed else "interpolate",
        align_corners=not transposed,
        narrow_decoder=not transposed,
        bias="inc.double_conv.0.bias" in tensors,
    )


def names_of(config: UNetConfig) -> dict[str, str]:
    """Return our names of the parameters → milesial's.

    Examples
    --------
    >>> names_of(UNetConfig())["encoder.1.layers.3.weight"]
    'down1.maxpool_conv.1.double_conv.3.weight'
    """

    def encoder(level: int, unit: int) -> tuple[str, str]:
        block = "inc" if level == 0 else f"down{level}.maxpool_conv.1"
        return f"{block}.double_conv.{3 * unit}", f"{block}.double_conv.{3 * unit + 1}"

    def decoder(level: int, unit: int) -> tuple[str, str]:
        block = f"up{depth - level}.conv.double_conv"
        return f"{block}.{3 * unit}", f"{block}.{3 * unit + 1}"

    depth = len(config.features) - 1
    return unet_names(config, encoder, decoder, lambda level: f"up{depth - level}.up", "outc.conv")
