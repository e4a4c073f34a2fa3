"""Bare state dicts of github.com/milesial/Pytorch-UNet, transposed and bilinear.

The architecture follows from the weights: ``up1.up.weight`` is there when the decoder uses
transposed convolutions, and the bilinear one halves the channels before each skip connection.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from napari_unet.errors import CheckpointError
from napari_unet.image.normalize import Normalization
from napari_unet.model.checkpoint import Checkpoint, default_output
from napari_unet.model.config import UNetConfig
from napari_unet.model.header import CheckpointHeader
from napari_unet.model.weights import build_network, hash_tensors

NAME = "milesial"
FIRST, LAST = "inc.double_conv.0.weight", "outc.conv.weight"
BLOCK = "double_conv.3.weight"


def recognize(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bool:
    """Return whether the first and the last convolution have milesial's names."""
    return FIRST in tensors and LAST in tensors


def build(tensors: Mapping[str, Tensor], metadata: Mapping[str, str], path: Path) -> Checkpoint:
    """Infer the architecture and load strictly.

    Raises
    ------
    CheckpointError
        If the tensors are not a whole milesial U-Net.
    """
    config = infer_config(tensors, path.name)
    depth = len(config.features) - 1
    network = build_network(config, tensors, path.name, lambda name: milesial_name(name, depth))
    header = CheckpointHeader(
        name=path.stem,
        config=config,
        # Its training code divides 8-bit images by 255.
        normalization=Normalization(method="fixed", offset=(0.0,), scale=(255.0,), per_channel=False),
        output=default_output(config.out_channels),
        provenance={"source": "a state dict of milesial/Pytorch-UNet", "assumed": "8-bit images divided by 255"},
        family=NAME,
        weights_hash=hash_tensors(network.state_dict()),
        ndim=2,
        in_channels=config.in_channels,
        out_channels=config.out_channels,
    )
    return Checkpoint(network, header)


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


def milesial_name(name: str, depth: int) -> str:
    """Translate one of our parameter names into milesial's.

    Examples
    --------
    >>> milesial_name("encoder.1.layers.3.weight", 4)
    'down1.maxpool_conv.1.double_conv.3.weight'
    """
    part, _, rest = name.partition(".")
    if part == "head":
        return f"outc.conv.{rest}"
    if part == "bottleneck":
        level, layer = depth, rest.removeprefix("layers.")
    else:
        index, _, inner = rest.partition(".")
        level, layer = int(index), inner.removeprefix("layers.")
    if part == "upsampling":
        return f"up{level + 1}.up.{layer}"
    if part == "decoder":
        return f"up{level + 1}.conv.double_conv.{layer}"
    return f"inc.double_conv.{layer}" if level == 0 else f"down{level}.maxpool_conv.1.double_conv.{layer}"
