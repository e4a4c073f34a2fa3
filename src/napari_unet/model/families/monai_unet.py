"""MONAI's UNet: strided convolutions, residual units; built by the library.

The weights tell channels, kernels and residual units. They do not tell the strides, nor a normalization without
parameters, nor activations but PReLU: a bundle's configuration does, else MONAI's defaults are assumed and said.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from napari_unet.errors import CheckpointError
from napari_unet.model.checkpoint import Checkpoint
from napari_unet.model.families.borrowing import borrowed_checkpoint, library
from napari_unet.model.families.bundles import bundle_of
from napari_unet.model.families.remapping import Known
from napari_unet.model.origin import Blueprint, Finding, How
from napari_unet.model.reading import Weights

NAME = "MONAI UNet"
OWN = "model."  # belongs to the network's names, although it looks like a wrapper's prefix
FIRST = ("0.conv.weight", "0.conv.unit0.conv.weight")
DOWN = "1.submodule."
ARGUMENTS = ("strides", "act", "norm", "bias", "dropout", "adn_ordering", "kernel_size", "up_kernel_size")


def recognize(weights: Weights) -> bool:
    """Return whether there are a first block, one below it, and a way up."""
    tensors = _inner(weights).tensors
    return any(name in tensors for name in FIRST) and any(name.startswith(DOWN) for name in tensors)


def build(weights: Weights) -> Checkpoint:
    """Infer the arguments of monai.networks.nets.UNet and load strictly.

    Raises
    ------
    CheckpointError
        If MONAI is missing, or the tensors are not a whole UNet of it.
    """
    inner = _inner(weights)
    bundle = bundle_of(weights.documents)
    stated = {**(bundle.arguments if bundle.network.lower() == "unet" else {}), **weights.told}
    try:
        arguments, findings = _arguments(inner.tensors, stated)
    except (KeyError, StopIteration, IndexError) as error:
        raise CheckpointError(
            f"{weights.path.name} looks like a UNet of MONAI, but {error} is missing.",
            "Save the state dict of the whole network.",
        ) from error
    normalization, how = bundle.normalization()
    output, meant = bundle.output(arguments["out_channels"])
    findings += (Finding("normalization", normalization.sentence, how), *meant)
    ndim = arguments["spatial_dims"]
    blueprint = Blueprint(NAME, "UNet", arguments, _divisor(arguments["strides"], ndim))
    known = Known("UNet", normalization, output, findings)
    sizes = ndim, arguments["in_channels"], arguments["out_channels"]
    return borrowed_checkpoint(inner.above(OWN), blueprint, known, *sizes)


def construct(network: str, arguments: dict[str, Any]) -> nn.Module:
    """Build monai.networks.nets.UNet, for a blueprint."""
    networks = library("monai.networks.nets", NAME)
    built: nn.Module = networks.UNet(**arguments)
    return built


def pack(checkpoint: Checkpoint) -> Mapping[str, Tensor]:
    """Return the weights under MONAI's names."""
    return checkpoint.network.state_dict()


def _inner(weights: Weights) -> Weights:
    """Return the names below ``model.``, whether reading took it off or not."""
    return weights.below(OWN) if OWN + FIRST[0] in weights.tensors or OWN + FIRST[1] in weights.tensors else weights


def _arguments(tensors: Mapping[str, Tensor], stated: dict[str, Any]) -> tuple[dict[str, Any], tuple[Finding, ...]]:
    """Return the constructor's arguments, and how each is known."""
    blocks, block = [], ""
    while any(f"{block}{name}" in tensors for name in FIRST):
        blocks.append(block + "0.")
        block += DOWN
    blocks.append(block)  # the bottom has no way up
    residual = f"{blocks[0]}conv.unit0.conv.weight" in tensors
    units = sum(f"{blocks[0]}conv.unit{n}.conv.weight" in tensors for n in range(64)) if residual else 0
    unit = "conv.unit0." if residual else ""
    kernels = [tensors[f"{name}{unit}conv.weight"] for name in blocks]
    ndim = kernels[0].ndim - 2
    up = tensors["2.0.conv.weight" if residual else "2.conv.weight"]
    last = tensors["2.1.conv.unit0.conv.weight"] if residual else up
    arguments: dict[str, Any] = {
        "spatial_dims": ndim,
        "in_channels": kernels[0].shape[1],
        "out_channels": last.shape[0] if residual else last.shape[1],  # transposed: (in, out, …)
        "channels": [kernel.shape[0] for kernel in kernels],
        "kernel_size": list(kernels[0].shape[2:]),
        "up_kernel_size": list(up.shape[2:]),
        "num_res_units": units,
        "bias": f"{blocks[0]}{unit}conv.bias" in tensors,
    }
    findings = [Finding("features", "-".join(map(str, arguments["channels"])), "weights")]
    guesses = {
        "strides": _strides(tensors, blocks, residual),
        "norm": _norm(tensors, f"{blocks[0]}{unit}adn.N"),
        "act": ("PRELU", "weights") if f"{blocks[0]}{unit}adn.A.weight" in tensors else ("RELU", "assumed"),
    }
    for name, (value, how) in guesses.items():
        arguments[name] = stated.get(name, value)
        findings.append(Finding(name, str(arguments[name]), "file" if name in stated else how, name))
    arguments |= {name: stated[name] for name in ARGUMENTS if name in stated}
    return arguments, tuple(findings)


def _strides(tensors: Mapping[str, Tensor], blocks: list[str], residual: bool) -> tuple[list[int], How]:
    """Return 2 for each level; a residual's kernel of one voxel tells a stride of 1."""
    strides = []
    for name in blocks[:-1]:
        kernel = tensors.get(f"{name}residual.weight")
        strides.append(1 if residual and (kernel is None or max(kernel.shape[2:]) == 1) else 2)
    return strides, "assumed"


def _norm(tensors: Mapping[str, Tensor], name: str) -> tuple[Any, How]:
    if f"{name}.running_mean" in tensors:
        return "BATCH", "weights"
    if f"{name}.weight" in tensors:
        return ["INSTANCE", {"affine": True}], "assumed"
    return "INSTANCE", "assumed"


def _divisor(strides: list[Any], ndim: int) -> tuple[int, ...]:
    divisor = [1] * ndim
    for stride in strides:
        for axis in range(ndim):
            divisor[axis] *= stride[axis] if isinstance(stride, list | tuple) else stride
    return tuple(divisor)
