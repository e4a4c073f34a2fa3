"""State dicts of github.com/milesial/Pytorch-UNet, transposed and bilinear, of all its versions.

The architecture follows from the weights: ``up1.up.weight`` is there when the decoder uses transposed convolutions,
and the bilinear one halves the channels before each skip connection. Until 2019 the blocks had other names, biases,
and a bottleneck as wide as the level above it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from napari_unet.errors import CheckpointError
from napari_unet.image.normalize import Normalization
from napari_unet.model.checkpoint import Checkpoint
from napari_unet.model.config import UNetConfig, Widths
from napari_unet.model.families.remapping import Known, own_checkpoint, packed, unet_names
from napari_unet.model.origin import Finding
from napari_unet.model.reading import Weights

NAME = "milesial"
LAST = "outc.conv.weight"


@dataclass(frozen=True)
class Names:
    """What one generation of the code calls its blocks."""

    block: str
    pooled: str

    @property
    def first(self) -> str:
        """The first convolution."""
        return f"inc.{self.block}.0.weight"

    def encoder(self, level: int) -> str:
        """Return the name of a level's block."""
        return f"inc.{self.block}" if level == 0 else f"down{level}.{self.pooled}.1.{self.block.rpartition('.')[2]}"


NOW, BEFORE = Names("double_conv", "maxpool_conv"), Names("conv.conv", "mpconv")


def recognize(weights: Weights) -> bool:
    """Return whether the first and the last convolution have milesial's names."""
    return LAST in weights.tensors and _names(weights.tensors) is not None


def build(weights: Weights) -> Checkpoint:
    """Infer the architecture and load strictly.

    Raises
    ------
    CheckpointError
        If the tensors are not a whole milesial U-Net.
    """
    names = _names(weights.tensors) or NOW
    config = infer_config(weights.tensors, weights.path.name, names)
    known = Known(
        variant="UNet",
        # Its training code divides 8-bit images by 255.
        normalization=Normalization(method="fixed", offset=(0.0,), scale=(255.0,), per_channel=False),
        findings=(
            Finding("upsampling", config.upsampling, "weights"),
            Finding("normalization", "8-bit images divided by 255, as its own training does", "assumed"),
        ),
        details={"old": names == BEFORE},
    )
    return own_checkpoint(NAME, weights, config, names_of(config, names), known)


def pack(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """Return the weights under milesial's names."""
    origin = checkpoint.header.origin
    old = origin is not None and origin.details.get("old") is True
    return packed(checkpoint, lambda config: names_of(config, BEFORE if old else NOW))


def infer_config(tensors: Mapping[str, Tensor], file_name: str, names: Names) -> UNetConfig:
    """Read channels, levels and upsampling from the shapes.

    Raises
    ------
    CheckpointError
        If a shape is no convolution's, or out of bounds.
    """
    depth = 0
    while f"{names.encoder(depth + 1)}.3.weight" in tensors:
        depth += 1
    blocks = [f"{names.encoder(level)}.3.weight" for level in range(depth + 1)]
    ups = [f"up{depth - level}.conv.{names.block.rpartition('.')[2]}" for level in range(depth)]
    joined = [f"{up}.0.weight" for up in ups] if names == BEFORE else []
    found = [tensors.get(name) for name in (*blocks, names.first, LAST, *joined)]
    if any(weight is None or weight.ndim != 4 for weight in found):
        raise CheckpointError(
            f"{file_name} looks like a milesial U-Net, but a convolution is missing or not two-dimensional.",
            "Save the state dict of the whole network.",
        )
    features = tuple(tensors[name].shape[0] for name in blocks)
    transposed = "up1.up.weight" in tensors
    widths = None
    if names == BEFORE:
        rising = tuple(tensors[name].shape[1] - features[level] for level, name in enumerate(joined))
        decoder = tuple((tensors[name].shape[0],) * 2 for name in joined)
        widths = Widths(tuple((width, width) for width in features), rising, decoder)
    return UNetConfig(
        ndim=2,
        in_channels=tensors[names.first].shape[1],
        out_channels=tensors[LAST].shape[0],
        features=features,
        upsampling="transpose" if transposed else "interpolate",
        align_corners=not transposed,
        narrow_decoder=not transposed and widths is None,
        bias=names.first.replace("weight", "bias") in tensors,
        widths=widths,
    )


def names_of(config: UNetConfig, names: Names = NOW) -> dict[str, str]:
    """Return our names of the parameters → milesial's.

    Examples
    --------
    >>> names_of(UNetConfig())["encoder.1.layers.3.weight"]
    'down1.maxpool_conv.1.double_conv.3.weight'
    """

    def encoder(level: int, unit: int) -> tuple[str, str]:
        block = names.encoder(level)
        return f"{block}.{3 * unit}", f"{block}.{3 * unit + 1}"

    def decoder(level: int, unit: int) -> tuple[str, str]:
        block = f"up{depth - level}.conv.{names.block.rpartition('.')[2]}"
        return f"{block}.{3 * unit}", f"{block}.{3 * unit + 1}"

    depth = len(config.features) - 1
    return unet_names(config, encoder, decoder, lambda level: f"up{depth - level}.up", "outc.conv")


def _names(tensors: Mapping[str, Tensor]) -> Names | None:
    """Return the generation whose first convolution is there."""
    return next((names for names in (NOW, BEFORE) if names.first in tensors), None)
