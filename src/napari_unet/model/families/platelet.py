"""The anisotropic U-Net of platelet-unet-watershed and iterseg, built here.

::

    pool     by (1, 2, 2), at last by (2, 2, 2), with a border of one voxel in y and x
    up       each channel by a transposed convolution of its own; the border is cut off again
    last     two convolutions whose sigmoid is the result: affinities in z, y, x, the mask, the centres

Its sizes in y and x are multiples of 16, in z of 2.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_unet.errors import CheckpointError
from napari_unet.image.normalize import Normalization
from napari_unet.model.checkpoint import Checkpoint
from napari_unet.model.families.borrowing import borrowed_checkpoint
from napari_unet.model.families.remapping import Known
from napari_unet.model.header import Output
from napari_unet.model.origin import Blueprint, Finding, How
from napari_unet.model.outputs import default_classes
from napari_unet.model.reading import Weights

NAME = "platelet-unet-watershed"
FIRST, LAST, GROUPED = "c0.conv0.weight", "c8_0.conv1.weight", "up3.weight"
DEPTH = 4
MEANING = ("z affinity", "y affinity", "x affinity", "mask", "centre")


def recognize(weights: Weights) -> bool:
    """Return whether there are the first and the last convolution, and a way up channel by channel."""
    up = weights.tensors.get(GROUPED)
    return FIRST in weights.tensors and LAST in weights.tensors and up is not None and up.ndim == 5 and up.shape[1] == 1


def build(weights: Weights) -> Checkpoint:
    """Build the network and load strictly.

    Raises
    ------
    CheckpointError
        If the tensors are not a whole network of this kind.
    """
    tensors = weights.tensors
    try:
        features = [tensors[f"c{level}.conv0.weight"].shape[0] for level in range(DEPTH + 1)]
        factors = [list(tensors[f"up{DEPTH - 1 - level}.weight"].shape[2:]) for level in range(DEPTH)]
    except KeyError as error:
        raise CheckpointError(
            f"{weights.path.name} looks like a network of {NAME}, but {error} is missing.",
            "Open the file as it came with the package.",
        ) from error
    channels = tensors[LAST].shape[0]
    arguments: dict[str, Any] = {
        "in_channels": tensors[FIRST].shape[1],
        "out_channels": channels,
        "features": features,
        "factors": factors,
    }
    divisor = [1, 1, 1]
    for level in factors:
        divisor = [a * b for a, b in zip(divisor, level, strict=True)]
    names = MEANING if channels == len(MEANING) else tuple(f"channel {index}" for index in range(channels))
    classes = default_classes(channels)
    how: How = "weights" if names == MEANING else "assumed"  # who has these channels was made by its program
    known = Known(
        "UNet",
        Normalization("none"),  # its own widget passes the values on as they are
        Output("classes", "none", names, classes) if channels > 1 else None,
        (
            Finding("channels", ", ".join(names), how),
            Finding("classes", "none of the channels is a class; train it to classes of your own", how),
            Finding("normalization", Normalization("none").sentence, how),
        ),
    )
    blueprint = Blueprint(NAME, "PlateletUNet", arguments, tuple(divisor))
    return borrowed_checkpoint(weights, blueprint, known, 3, arguments["in_channels"], channels)


def construct(network: str, arguments: dict[str, Any]) -> nn.Module:
    """Build the network, for a blueprint."""
    return PlateletUNet(**arguments)


def pack(checkpoint: Checkpoint) -> Mapping[str, Tensor]:
    """Return the weights under their own names."""
    return checkpoint.network.state_dict()


class PlateletUNet(nn.Module):
    """See the module.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels.
    features : list of int
        Per level, the bottleneck last.
    factors : list of list of int
        Pooling factors per level and axis (Z, Y, X).
    """

    def __init__(self, in_channels: int, out_channels: int, features: list[int], factors: list[list[int]]) -> None:
        super().__init__()
        self.factors = [tuple(level) for level in factors]
        for level, (channels, following) in enumerate(pairwise([in_channels, *features])):
            self.add_module(f"c{level}", _Pair(channels, following))
        below = features[-1]
        for step in range(DEPTH):
            level = DEPTH - 1 - step
            z, y, x = self.factors[level]
            factor = (z, y, x)
            self.add_module(f"up{step}", nn.ConvTranspose3d(below, below, factor, stride=factor, groups=below))
            width = out_channels if level == 0 else features[level - 1]
            self.add_module(f"c{DEPTH + 1 + step}_0", _Pair(below + features[level], width, last=level == 0))
            below = width

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, C, Z, Y, X) to scores of the same size."""
        skips = []
        for level, factor in enumerate(self.factors):
            x = self.get_submodule(f"c{level}")(x)
            skips.append(x)
            x = functional.max_pool3d(x, factor, stride=factor, padding=(0, 1, 1))
        x = self.get_submodule(f"c{DEPTH}")(x)
        for step, skip in enumerate(reversed(skips)):
            x = self.get_submodule(f"up{step}")(x)
            # The image itself has a border at both sides, its coarser versions have odd sizes.
            x = x[..., 1:-1, 1:-1] if step == DEPTH - 1 else x[..., :-1, :-1]
            x = self.get_submodule(f"c{DEPTH + 1 + step}_0")(torch.cat((x, skip), 1))
        return x


class _Pair(nn.Module):
    """Two convolutions, each with a batch norm; a sigmoid instead of the last ReLU ends the network."""

    def __init__(self, channels: int, following: int, last: bool = False) -> None:
        super().__init__()
        self.conv0 = nn.Conv3d(channels, following, 3, padding=1)
        self.conv1 = nn.Conv3d(following, following, 3, padding=1)
        self.batch0 = nn.BatchNorm3d(following)
        self.batch1 = nn.BatchNorm3d(following)
        self.last = last

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.relu(self.batch0(self.conv0(x)))
        x = self.batch1(self.conv1(x))
        return torch.sigmoid(x) if self.last else functional.relu(x)
