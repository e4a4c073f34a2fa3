"""Networks that libraries define: built only where the library is installed, within bounds, and tried out.

A library is imported when a file needs it, never before, and only those named here.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import replace
from types import ModuleType
from typing import Any

from torch import nn

from napari_unet.errors import CheckpointError
from napari_unet.model.checkpoint import Checkpoint, default_output
from napari_unet.model.families.remapping import Known, origin_of
from napari_unet.model.header import CheckpointHeader
from napari_unet.model.origin import Blueprint
from napari_unet.model.reach import measure_reach
from napari_unet.model.reading import Weights
from napari_unet.model.weights import hash_tensors, load_into, once_each

# Family → what pip installs, and the extra of ours that brings it.
EXTRAS = {
    "monai": ("monai", "monai"),
    "dynamic_network_architectures": ("dynamic-network-architectures", "nnunet"),
    "segmentation_models_pytorch": ("segmentation-models-pytorch", "smp"),
}
BUILD_ERRORS = (AttributeError, ArithmeticError, AssertionError, LookupError, RuntimeError, TypeError, ValueError)


def library(name: str, what: str) -> ModuleType:
    """Import a library that defines networks.

    Parameters
    ----------
    name : str
        Its module, or one inside of it; the package is a key of `EXTRAS`.
    what : str
        What needs it, for the message.

    Raises
    ------
    CheckpointError
        If it is not installed; the hint says how to install it.
    """
    package, extra = EXTRAS[name.partition(".")[0]]
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise CheckpointError(
            f"{what} is a network of the package {package}, which is not installed ({error}).",
            f"Install it: pip install 'napari-unet-interactive[{extra}]'.",
        ) from error


def construct(blueprint: Blueprint | None) -> nn.Module:
    """Build the network of a blueprint, with random weights.

    Raises
    ------
    CheckpointError
        If no family of that name builds networks, or its library is missing or refuses.
    """
    if blueprint is None or blueprint.family not in BUILDERS:
        family = None if blueprint is None else blueprint.family
        raise CheckpointError(f"Networks of {family!r:.80} cannot be built.", "Update napari-unet.")
    module = importlib.import_module(f"napari_unet.model.families.{BUILDERS[blueprint.family]}")
    build: Callable[[str, dict[str, Any]], nn.Module] = module.construct
    try:
        return build(blueprint.network, blueprint.arguments)
    except BUILD_ERRORS as error:
        raise CheckpointError(
            f"The network {blueprint.network} cannot be built: {str(error).strip()[:200]}.",
            "The file may come from another version of its package.",
        ) from error


# Family → the module here whose `construct(network, arguments)` builds it.
BUILDERS = {
    "pytorch-3dunet": "pytorch3dunet",
    "MONAI UNet": "monai_unet",
    "MONAI DynUNet": "monai_dynunet",
    "nnU-Net": "nnunet",
    "segmentation_models.pytorch": "smp",
    "platelet-unet-watershed": "platelet",
}


def borrowed_checkpoint(
    weights: Weights, blueprint: Blueprint, known: Known, ndim: int, in_channels: int, out_channels: int
) -> Checkpoint:
    """Build a library's network, load the weights strictly, and try it out.

    Parameters
    ----------
    weights : Weights
        Under the network's own names.
    blueprint : Blueprint
        How it is built; its `reach` is measured here.
    known : Known
        What the family found out.
    ndim, in_channels, out_channels : int
        What goes in and comes out.

    Raises
    ------
    CheckpointError
        If the library is missing, the weights do not fit, or the network returns something else.
    """
    network = load_into(lambda: construct(blueprint), weights.tensors, weights.path.name)
    reach = measure_reach(network, in_channels, out_channels, blueprint.divisor, weights.path.name)
    header = CheckpointHeader(
        name=weights.path.stem,
        config=None,
        normalization=known.normalization,
        output=known.output or default_output(out_channels),
        voxel_size=known.voxel_size,
        family=blueprint.family,
        weights_hash=hash_tensors(once_each(network)),
        ndim=2 if ndim == 2 else 3,
        in_channels=in_channels,
        out_channels=out_channels,
        blueprint=replace(blueprint, reach=reach),
        origin=origin_of(blueprint.family, weights, known, out_channels),
    )
    return Checkpoint(network, header)
