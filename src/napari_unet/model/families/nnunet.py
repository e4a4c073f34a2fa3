"""nnU-Net v2: PlainConvUNet and ResidualEncoderUNet, from a folder, or a file that carries its plans.

The plans name the architecture, the voxel size and the normalization, ``dataset.json`` the labels. What is imported
is named here; a name in a file is looked up in a table and never imported. Without plans, everything follows
from the weights but the non-linearity.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from napari_unet.errors import CheckpointError
from napari_unet.model.checkpoint import Checkpoint
from napari_unet.model.families.borrowing import borrowed_checkpoint, library
from napari_unet.model.families.plans import Plans, plans_of
from napari_unet.model.families.regions import RegionScores
from napari_unet.model.families.remapping import Known
from napari_unet.model.origin import Blueprint, Finding
from napari_unet.model.reading import Weights

NAME = "nnU-Net"
PLAIN, STEM = "encoder.stages.0.0.convs.0.conv.weight", "encoder.stem.convs.0.conv.weight"
HEADS = "decoder.seg_layers."
BODY = "body."
LAYERS = {
    name: getattr(nn, name)
    for name in (
        *(f"{kind}{ndim}d" for kind in ("Conv", "InstanceNorm", "BatchNorm", "Dropout") for ndim in (2, 3)),
        *("LeakyReLU", "ReLU", "ELU", "SiLU", "GELU", "PReLU"),
    )
}
NETWORKS = ("PlainConvUNet", "ResidualEncoderUNet")
IMPORTED = ("conv_op", "norm_op", "dropout_op", "nonlin")


def recognize(weights: Weights) -> bool:
    """Return whether there are an encoder of stages and segmentation layers."""
    heads = any(name.startswith(HEADS) for name in weights.tensors)
    return heads and (PLAIN in weights.tensors or STEM in weights.tensors)


def build(weights: Weights) -> Checkpoint:
    """Build the network of the plans, or of the weights where there are none, and load strictly.

    Raises
    ------
    CheckpointError
        If the library is missing, the weights do not fit, or it is the second stage of a cascade.
    """
    plans = plans_of(weights.beside, weights.documents, weights.path.name)
    tensors = dict(weights.tensors)
    network, arguments = _stated(plans) or _inferred(tensors, weights.path.name)
    heads = max(int(name.removeprefix(HEADS).partition(".")[0]) for name in tensors if name.startswith(HEADS))
    channels = tensors[f"{HEADS}{heads}.weight"].shape[0]
    first = tensors.get(PLAIN, tensors.get(STEM))
    if first is None or first.ndim not in (4, 5):
        raise CheckpointError(f"{weights.path.name} is no 2D or 3D nnU-Net.", "Open a checkpoint of nnU-Net v2.")
    ndim = first.ndim - 2
    order = plans.order(ndim)
    if order != tuple(range(ndim)):
        tensors = permuted(tensors, order, ndim)
        arguments |= {name: _permuted(arguments[name], order) for name in ("kernel_sizes", "strides")}
    arguments |= {"input_channels": first.shape[1], "num_classes": channels}
    output, values = plans.output(channels)
    if values:
        arguments["regions"] = list(values)
        tensors = {BODY + name: tensor for name, tensor in tensors.items()}
    normalization, norm_finding = plans.normalization()
    findings = (
        Finding("network", network, "file" if plans.architecture else "weights"),
        *plans.findings(ndim),
        norm_finding,
    )
    known = Known(network, normalization, output, findings, {"order": list(order)}, plans.voxel_size(ndim, order))
    blueprint = Blueprint(NAME, network, arguments, _divisor(arguments["strides"], ndim))
    inner = replace(weights, tensors=tensors)
    return borrowed_checkpoint(inner, blueprint, known, ndim, first.shape[1], len(output.channels))


def construct(network: str, arguments: dict[str, Any]) -> nn.Module:
    """Build a network of dynamic_network_architectures, for a blueprint; it returns its last scores only."""
    networks = library("dynamic_network_architectures.architectures.unet", NAME)
    given = dict(arguments)
    regions = given.pop("regions", None)
    for name in IMPORTED:
        if given.get(name) is not None:
            given[name] = LAYERS[str(given[name]).rpartition(".")[2]]
    if network not in NETWORKS:
        raise CheckpointError(f"The network {network!r:.80} is not known here.", f"Known are {', '.join(NETWORKS)}.")
    built: nn.Module = getattr(networks, network)(**given, deep_supervision=False)
    return built if regions is None else RegionScores(built, regions)


def pack(checkpoint: Checkpoint) -> Mapping[str, Tensor]:
    """Return the weights under nnU-Net's names, with the axes in its order."""
    origin = checkpoint.header.origin
    order = tuple(origin.details.get("order", ())) if origin else ()
    state = {name.removeprefix(BODY): tensor for name, tensor in checkpoint.network.state_dict().items()}
    if order and order != tuple(range(len(order))):
        back = tuple(order.index(axis) for axis in range(len(order)))
        return permuted(state, back, len(order))
    return state


def permuted(tensors: Mapping[str, Tensor], order: tuple[int, ...], ndim: int) -> dict[str, Tensor]:
    """Return the weights of the same network for images with their axes in another order."""
    axes = (0, 1, *(2 + axis for axis in order))
    return {
        name: tensor.permute(axes).contiguous() if tensor.ndim == ndim + 2 else tensor
        for name, tensor in tensors.items()
    }


def _permuted(values: Any, order: tuple[int, ...]) -> Any:
    """Return sizes per stage with their axes in another order."""
    if not isinstance(values, list):
        return values
    return [[level[axis] for axis in order] if isinstance(level, list) else level for level in values]


def _stated(plans: Plans) -> tuple[str, dict[str, Any]] | None:
    """Return the class and its arguments as the plans name them."""
    if not plans.architecture:
        return None
    network = str(plans.architecture.get("network_class_name", "")).rpartition(".")[2]
    arguments = plans.architecture.get("arch_kwargs")
    if network not in NETWORKS or not isinstance(arguments, dict):
        raise CheckpointError(
            f"{plans.file} is an nnU-Net of the architecture {network!r:.80}, which is not known here.",
            f"Known are {' and '.join(NETWORKS)}.",
        )
    for name in IMPORTED:
        layer = arguments.get(name)
        if layer is not None and str(layer).rpartition(".")[2] not in LAYERS:
            raise CheckpointError(
                f"The plans of {plans.file} name the layer {layer!r:.80}, which is not known here.",
                f"Known are {', '.join(LAYERS)}.",
            )
    return network, dict(arguments)


def _inferred(tensors: Mapping[str, Tensor], file: str) -> tuple[str, dict[str, Any]]:
    """Return the class and its arguments as they follow from names and shapes."""
    plain = PLAIN in tensors
    first = "encoder.stages.{}.0.convs.0.conv.weight" if plain else "encoder.stages.{}.blocks.0.conv1.conv.weight"
    more = "encoder.stages.{}.0.convs.{}.conv.weight" if plain else "encoder.stages.{}.blocks.{}.conv1.conv.weight"
    stages = _count(tensors, first)
    try:
        kernels = [tensors[first.format(stage)] for stage in range(stages)]
        ups = [tensors[f"decoder.transpconvs.{stage}.weight"] for stage in range(stages - 1)]
    except KeyError as error:
        raise CheckpointError(
            f"{file} looks like an nnU-Net, but {error} is missing.", "Use the checkpoint as nnU-Net wrote it."
        ) from error
    ndim = kernels[0].ndim - 2
    strides = [[1] * ndim, *(list(up.shape[2:]) for up in reversed(ups))]
    blocks = [_count(tensors, more.replace("{}", str(stage), 1)) for stage in range(stages)]
    decoder = [_count(tensors, f"decoder.stages.{stage}.convs.{{}}.conv.weight") for stage in range(stages - 1)]
    bias = (PLAIN if plain else STEM).replace("weight", "bias") in tensors
    arguments: dict[str, Any] = {
        "n_stages": stages,
        "features_per_stage": [kernel.shape[0] for kernel in kernels],
        "conv_op": f"Conv{ndim}d",
        "kernel_sizes": [list(kernel.shape[2:]) for kernel in kernels],
        "strides": strides,
        "n_conv_per_stage" if plain else "n_blocks_per_stage": blocks,
        "n_conv_per_stage_decoder": decoder,
        "conv_bias": bias,
        "norm_op": f"InstanceNorm{ndim}d",
        "norm_op_kwargs": {"eps": 1e-5, "affine": True},
        "nonlin": "LeakyReLU",
        "nonlin_kwargs": {"inplace": True},
    }
    return "PlainConvUNet" if plain else "ResidualEncoderUNet", arguments


def _count(tensors: Mapping[str, Tensor], pattern: str) -> int:
    count = 0
    while pattern.format(count) in tensors:
        count += 1
    return count


def _divisor(strides: Any, ndim: int) -> tuple[int, ...]:
    divisor = [1] * ndim
    for stride in strides:
        steps = stride if isinstance(stride, list) else [stride] * ndim
        divisor = [a * b for a, b in zip(divisor, steps, strict=True)]
    return tuple(divisor)
