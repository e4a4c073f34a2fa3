"""MONAI's DynUNet, the network of nnU-Net as MONAI builds it; built by the library."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from napari_unet.errors import CheckpointError
from napari_unet.model.checkpoint import Checkpoint
from napari_unet.model.families.borrowing import borrowed_checkpoint, library
from napari_unet.model.families.bundles import bundle_of
from napari_unet.model.families.remapping import Known
from napari_unet.model.origin import Blueprint, Finding
from napari_unet.model.reading import Weights

NAME = "MONAI DynUNet"
FIRST, LAST = "input_block.conv1.conv.weight", "output_block.conv.conv.weight"
ARGUMENTS = ("norm_name", "act_name", "dropout", "strides", "kernel_size", "upsample_kernel_size")


def recognize(weights: Weights) -> bool:
    """Return whether there are the first and the last block, and a bottleneck."""
    return {FIRST, LAST, "bottleneck.conv1.conv.weight"} <= set(weights.tensors)


def build(weights: Weights) -> Checkpoint:
    """Infer the arguments of monai.networks.nets.DynUNet and load strictly.

    Raises
    ------
    CheckpointError
        If MONAI is missing, or the tensors are not a whole DynUNet.
    """
    bundle = bundle_of(weights.documents)
    stated = {**(bundle.arguments if bundle.network.lower() == "dynunet" else {}), **weights.told}
    try:
        arguments = _arguments(weights.tensors)
    except KeyError as error:
        raise CheckpointError(
            f"{weights.path.name} looks like a DynUNet of MONAI, but {error} is missing.",
            "Save the state dict of the whole network.",
        ) from error
    arguments |= {name: stated[name] for name in ARGUMENTS if name in stated}
    normalization, how = bundle.normalization()
    output, meant = bundle.output(arguments["out_channels"])
    findings = (
        Finding("features", "-".join(map(str, arguments["filters"])), "weights"),
        Finding("strides", str(arguments["strides"]), "file" if "strides" in stated else "weights"),
        Finding("norm", str(arguments["norm_name"]), "file" if "norm_name" in stated else "assumed"),
        Finding("normalization", normalization.sentence, how),
        *meant,
    )
    ndim = arguments["spatial_dims"]
    divisor = [1] * ndim
    for stride in arguments["strides"]:
        steps = stride if isinstance(stride, list) else [stride] * ndim
        divisor = [a * b for a, b in zip(divisor, steps, strict=True)]
    blueprint = Blueprint(NAME, "DynUNet", arguments, tuple(divisor))
    known = Known("DynUNet", normalization, output, findings)
    return borrowed_checkpoint(weights, blueprint, known, ndim, arguments["in_channels"], arguments["out_channels"])


def construct(network: str, arguments: dict[str, Any]) -> nn.Module:
    """Build monai.networks.nets.DynUNet, for a blueprint; it returns its last scores only."""
    networks = library("monai.networks.nets", NAME)
    built: nn.Module = networks.DynUNet(**arguments)
    built.deep_supervision = False  # type: ignore[assignment]  # its further heads stay among the weights
    for part in built.modules():
        if isinstance(getattr(part, "heads", None), list):
            part.heads = None  # type: ignore[assignment]  # there it would keep what they compute, graph and all
    return built


def pack(checkpoint: Checkpoint) -> Mapping[str, Tensor]:
    """Return the weights under MONAI's names."""
    return checkpoint.network.state_dict()


def _arguments(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return the constructor's arguments; strides are the kernels of the transposed convolutions."""
    downs = 0
    while f"downsamples.{downs}.conv1.conv.weight" in tensors:
        downs += 1
    blocks = ["input_block", *(f"downsamples.{number}" for number in range(downs)), "bottleneck"]
    kernels = [tensors[f"{block}.conv1.conv.weight"] for block in blocks]
    ups = [tensors[f"upsamples.{number}.transp_conv.conv.weight"] for number in range(downs + 1)]
    rising = [list(up.shape[2:]) for up in reversed(ups)]
    heads = 0
    while f"deep_supervision_heads.{heads}.conv.conv.weight" in tensors:
        heads += 1
    norm = "input_block.norm1"
    affine = f"{norm}.weight" in tensors
    batch = f"{norm}.running_mean" in tensors
    return {
        "spatial_dims": kernels[0].ndim - 2,
        "in_channels": kernels[0].shape[1],
        "out_channels": tensors[LAST].shape[0],
        "kernel_size": [list(kernel.shape[2:]) for kernel in kernels],
        "strides": [[1] * (kernels[0].ndim - 2), *rising],
        "upsample_kernel_size": rising,
        "filters": [kernel.shape[0] for kernel in kernels],
        "norm_name": "BATCH" if batch else ["INSTANCE", {"affine": affine}],
        "deep_supervision": heads > 0,
        "deep_supr_num": max(1, heads),
        "res_block": any(name.endswith(".conv3.conv.weight") for name in tensors),
        "trans_bias": "upsamples.0.transp_conv.conv.bias" in tensors,
    }
