"""torch-em: UNet2d, UNet3d and AnisotropicUNet become ours.

Their blocks normalize first, and by default without weights: a block whose convolutions stand at places 1 and 4 and
that has nothing at 0 and 3 has an instance normalization without parameters. The decoder interpolates, then projects;
what comes from below is concatenated first.
"""

from __future__ import annotations

import json
from typing import Any

from torch import Tensor

from napari_unet.errors import CheckpointError
from napari_unet.image.normalize import Normalization
from napari_unet.model.checkpoint import Checkpoint, default_output
from napari_unet.model.config import UNetConfig, Widths
from napari_unet.model.families.remapping import Known, own_checkpoint, packed, unet_names
from napari_unet.model.header import Output
from napari_unet.model.origin import Finding, How
from napari_unet.model.reading import Weights

NAME = "torch-em"
FIRST = ("encoder.blocks.0.block.1.weight", "encoder.blocks.0.block.0.weight")
HEAD, SAMPLER = "out_conv.weight", "decoder.samplers.0.conv.weight"
GROUPS = 32
ACTIVATIONS = {None: None, "None": None, "Sigmoid": "sigmoid", "Softmax": "softmax"}


def recognize(weights: Weights) -> bool:
    """Return whether there are the first block, the base and the samplers."""
    base = "base.block.1.weight" in weights.tensors or "base.block.0.weight" in weights.tensors
    return base and SAMPLER in weights.tensors


def build(weights: Weights) -> Checkpoint:
    """Infer the architecture, ask the arguments beside the weights where there are any, and load strictly.

    Raises
    ------
    CheckpointError
        If the tensors are not a whole network with one output, or it ends in something that is not known.
    """
    stated = _stated(weights)
    if HEAD not in weights.tensors:
        raise CheckpointError(
            f"{weights.path.name} is a network of {NAME} without an output convolution, or with several.",
            "Open one that was built with out_channels and without return_side_outputs.",
        )
    config, how = infer_config(weights, stated)
    activation, known_by = _activation(stated, weights.path.name)
    output = default_output(config.out_channels)
    if activation is not None:
        output = Output(output.kind, activation, output.channels, output.classes)
    scaled: How = "file" if "scale_factors" in stated else "assumed" if config.ndim == 3 else "weights"
    findings = (
        Finding("norm", config.norm + ("" if config.affine else " without weights"), how),
        Finding("pooling", json.dumps(config.poolings), scaled, "scale_factors"),
        Finding("activation", output.activation, known_by),
        Finding("normalization", "mean 0, standard deviation 1, as its loaders do", "assumed"),
    )
    variant = str(stated.get("model_class") or f"UNet{config.ndim}d").rpartition(".")[2]
    known = Known(variant, Normalization("zscore", per_channel=False), output, findings)
    return own_checkpoint(NAME, weights, config, names_of(config), known, up_first=True)


def pack(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """Return the weights under torch-em's names, in its order of channels."""
    return packed(checkpoint, names_of, up_first=True)


def infer_config(weights: Weights, stated: dict[str, Any]) -> tuple[UNetConfig, How]:
    """Read channels, normalization and kernels from names and shapes.

    Parameters
    ----------
    weights : Weights
        Of a UNet2d, UNet3d or AnisotropicUNet.
    stated : dict
        Its constructor's arguments, as far as they are known.

    Returns
    -------
    UNetConfig
        The network.
    {"weights", "assumed"}
        How the normalization is known.

    Raises
    ------
    CheckpointError
        If a convolution is missing, or a number is out of bounds.
    """
    tensors = weights.tensors
    plain = _is_convolution(tensors.get(FIRST[1]))
    places = (0, 2) if plain else (1, 4)
    depth = 0
    while f"encoder.blocks.{depth}.block.{places[0]}.weight" in tensors:
        depth += 1
    encoder = [f"encoder.blocks.{level}" for level in range(depth)] + ["base"]
    try:
        kernels = [tensors[f"{block}.block.{places[0]}.weight"] for block in encoder]
        out = tensors[HEAD].shape[0]
    except KeyError as error:
        raise CheckpointError(
            f"{weights.path.name} looks like a network of {NAME}, but {error} is missing.",
            "Save the state dict of the whole network.",
        ) from error
    features = tuple(kernel.shape[0] for kernel in kernels)
    ndim = kernels[0].ndim - 2
    weighted = not plain and "base.block.0.weight" in tensors
    running = "base.block.0.running_mean" in tensors
    pooling = _pooling(stated, kernels, ndim, depth)
    config = UNetConfig(
        ndim=2 if ndim == 2 else 3,
        in_channels=kernels[0].shape[1],
        out_channels=out,
        features=features,
        pooling=pooling,
        # Of an instance normalization that tracks statistics these are what counts, as in a batch normalization.
        norm="none" if plain else "batch" if running else "group" if weighted else "instance",
        groups=GROUPS,
        split_few=True,
        affine=weighted,
        order="cna" if plain else "nca",
        upsampling="interpolate",
        project=True,
        bias=True,
        kernels=tuple(tuple(kernel.shape[2:]) for kernel in kernels),
        widths=Widths(
            tuple((width, width) for width in features),
            features[:-1],
            tuple((width, width) for width in features[:-1]),
        ),
    )
    return config, "weights"


def names_of(config: UNetConfig) -> dict[str, str]:
    """Return our names of the parameters → torch-em's.

    Examples
    --------
    >>> names_of(UNetConfig(order="nca"))["encoder.1.layers.4.weight"]
    'encoder.blocks.1.block.4.weight'
    """
    depth = len(config.features) - 1
    size = 2 if config.norm == "none" else 3

    def unit(block: str, number: int) -> tuple[str, str]:
        norm = size * number
        return f"{block}.block.{norm if config.norm == 'none' else norm + 1}", f"{block}.block.{norm}"

    return unet_names(
        config,
        lambda level, number: unit("base" if level == depth else f"encoder.blocks.{level}", number),
        lambda level, number: unit(f"decoder.blocks.{depth - 1 - level}", number),
        lambda level: f"decoder.samplers.{depth - 1 - level}.conv",
        "out_conv",
    )


def _is_convolution(tensor: Tensor | None) -> bool:
    return tensor is not None and tensor.ndim > 1


def _stated(weights: Weights) -> dict[str, Any]:
    """Return the constructor's arguments from a trainer's checkpoint or a bioimage.io description."""
    init = weights.beside.get("init")
    init = init if isinstance(init, dict) else {}
    arguments = init.get("model_kwargs")
    architecture = weights.documents.get("architecture")
    kind = init.get("model_class") or (architecture.get("callable") if isinstance(architecture, dict) else None)
    return {**(arguments if isinstance(arguments, dict) else {}), **weights.told, "model_class": kind}


def _pooling(stated: dict[str, Any], kernels: list[Tensor], ndim: int, depth: int) -> tuple[tuple[int, ...], ...]:
    """Return the factors per level; a flat kernel shows a level that does not pool along z."""
    factors = stated.get("scale_factors")
    if isinstance(factors, list) and len(factors) == depth:
        levels = [factor if isinstance(factor, list) else [factor] * ndim for factor in factors]
        return tuple(tuple(int(step) for step in level) for level in levels)
    return tuple(tuple(1 if size == 1 else 2 for size in kernel.shape[2:]) for kernel in kernels[:depth])


def _activation(stated: dict[str, Any], file: str) -> tuple[Any, How]:
    if stated.get("postprocessing") not in (None, "None"):
        raise CheckpointError(
            f"{file} postprocesses its scores by {stated['postprocessing']!r:.80}, which is not known here.",
            "Open a network without postprocessing.",
        )
    if "final_activation" not in stated:
        return None, "assumed"
    name = stated["final_activation"]
    if name not in ACTIVATIONS:
        raise CheckpointError(f"{file} ends in {name!r:.80}, which is not known here.", "Known are Sigmoid and none.")
    return ACTIVATIONS[name], "assumed" if ACTIVATIONS[name] is None else "file"
