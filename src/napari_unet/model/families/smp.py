"""segmentation_models.pytorch: Unet over the usual encoders, bare or as ``save_pretrained`` writes it.

``config.json`` names the encoder. A bare state dict does not; then the encoder is the one whose names and shapes are
those of the file. Pretrained weights are never downloaded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from napari_unet.errors import CheckpointError
from napari_unet.image.normalize import Normalization
from napari_unet.model.checkpoint import Checkpoint, default_output
from napari_unet.model.families.borrowing import BUILD_ERRORS, borrowed_checkpoint, library
from napari_unet.model.families.remapping import Known
from napari_unet.model.header import Output
from napari_unet.model.origin import Blueprint, Finding, How, bounds_problem
from napari_unet.model.reading import Weights

NAME = "segmentation_models.pytorch"
LIBRARY = "segmentation_models_pytorch"
HEAD, BLOCK = "segmentation_head.0.weight", "decoder.blocks.0.conv1.0.weight"
WIDEST = 1024
CLASSES = ("Unet", "UnetPlusPlus", "MAnet", "Linknet", "FPN")
IMAGENET_MEAN, IMAGENET_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# Which encoders have names that begin like this; the first of each are the most used.
BEGINNINGS = {
    "layer1.": ("resnet34", "resnet18", "resnet50", "resnet101", "resnet152", "resnext50_32x4d", "resnext101_32x8d"),
    "layer0.": ("se_resnet50", "se_resnext50_32x4d", "se_resnet101", "se_resnext101_32x4d", "se_resnet152", "senet154"),
    "_conv_stem": tuple(f"efficientnet-b{size}" for size in range(8)),
    "features.": ("mobilenet_v2", "vgg16_bn", "vgg16", "densenet121", "vgg11", "vgg11_bn", "vgg13", "vgg13_bn"),
    "patch_embed1.": tuple(f"mit_b{size}" for size in range(6)),
    "model.": ("tu-resnet34", "tu-resnet18", "tu-resnet50", "tu-efficientnet_b0", "tu-convnext_tiny"),
}


def recognize(weights: Weights) -> bool:
    """Return whether there are an encoder, decoder blocks and the head."""
    return HEAD in weights.tensors and any(name.startswith("encoder.") for name in weights.tensors)


def build(weights: Weights) -> Checkpoint:
    """Find the encoder, build the network and load strictly.

    Raises
    ------
    CheckpointError
        If the library is missing, no encoder fits, or the weights do not.
    """
    library(LIBRARY, weights.path.name)
    config = weights.documents.get("config.json")
    config = config if isinstance(config, dict) and isinstance(config.get("encoder_name"), str) else {}
    network = str(config.get("_model_class", "Unet"))
    if network not in CLASSES or (not config and BLOCK not in weights.tensors):
        raise CheckpointError(
            f"{weights.path.name} is a {network!r:.80} of {NAME}, which is not known here.",
            f"Known are {', '.join(CLASSES)} with the config.json that save_pretrained writes, and Unet without.",
        )
    config = {**config, **weights.told} if config or "encoder_name" in weights.told else config
    arguments = _stated(config) if config else {**_inferred(weights), **weights.told}
    problem = bounds_problem(arguments)
    if problem:
        raise CheckpointError(
            f"The network of {weights.path.name} cannot be built: {problem}.", "Check its config.json."
        )
    how: How = "file" if config else "weights"
    channels, classes = int(arguments["in_channels"]), int(arguments["classes"])
    normalization = _normalization(channels)
    activation = arguments.get("activation")
    output = default_output(classes)
    if activation:
        output = Output(output.kind, "none", output.channels, output.classes)
    findings = (
        Finding("encoder", str(arguments["encoder_name"]), how),
        Finding("decoder", "-".join(map(str, arguments.get("decoder_channels", ()))), how),
        Finding("activation", str(activation or output.activation), "file" if activation else "assumed"),
        Finding("normalization", "as ImageNet" if channels == 3 else normalization.method, "assumed"),
    )
    divisor = (2 ** int(arguments.get("encoder_depth", 5)),) * 2
    blueprint = Blueprint(NAME, network, arguments, divisor)
    known = Known(network, normalization, output, findings)
    return borrowed_checkpoint(weights, blueprint, known, 2, channels, classes)


def construct(network: str, arguments: dict[str, Any]) -> nn.Module:
    """Build a network of segmentation_models_pytorch without pretrained weights, for a blueprint."""
    smp = library(LIBRARY, NAME)
    if network not in CLASSES:
        raise CheckpointError(f"The network {network!r:.80} is not known here.", f"Known are {', '.join(CLASSES)}.")
    with _place(str(arguments.get("encoder_name"))):
        built: nn.Module = getattr(smp, network)(**{**arguments, "encoder_weights": None})
    return built


def pack(checkpoint: Checkpoint) -> Mapping[str, Tensor]:
    """Return the weights under their own names."""
    return checkpoint.network.state_dict()


def _stated(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the constructor's arguments of a config.json."""
    arguments = {key: value for key, value in config.items() if not key.startswith("_")}
    widths = arguments.get("decoder_channels", ())
    if (
        not isinstance(widths, list | tuple)
        or len(widths) > 8
        or any(not isinstance(n, int) or n > 1024 for n in widths)
    ):
        raise CheckpointError(f"config.json gives the decoder channels {widths!r:.80}.", "Expected up to 8 of 1024.")
    return {"in_channels": 3, "classes": 1, **arguments, "encoder_weights": None}


def _inferred(weights: Weights) -> dict[str, Any]:
    """Return the constructor's arguments as they follow from names and shapes."""
    tensors = weights.tensors
    depth = 0
    while f"decoder.blocks.{depth}.conv1.0.weight" in tensors:
        depth += 1
    encoder = {name.removeprefix("encoder."): tensor for name, tensor in tensors.items() if name.startswith("encoder.")}
    first = next((tensor for tensor in encoder.values() if tensor.ndim == 4), None)
    if first is None or any(name.startswith("classification_head.") for name in tensors):
        raise CheckpointError(
            f"{weights.path.name} is no plain Unet of {NAME}: it lacks an encoder, or has a classifier too.",
            "Save it without aux_params.",
        )
    norm = "decoder.blocks.0.conv1.1"
    batch = f"{norm}.running_mean" in tensors
    attention = any(".attention1." in name for name in tensors)
    return {
        "encoder_name": find_encoder(encoder, first.shape[1], depth, weights.path.name),
        "encoder_depth": depth,
        "encoder_weights": None,
        "decoder_use_norm": "batchnorm" if batch else "instancenorm" if f"{norm}.weight" in tensors else False,
        "decoder_channels": [tensors[f"decoder.blocks.{level}.conv1.0.weight"].shape[0] for level in range(depth)],
        "decoder_attention_type": "scse" if attention else None,
        "in_channels": first.shape[1],
        "classes": tensors[HEAD].shape[0],
    }


def find_encoder(encoder: Mapping[str, Tensor], in_channels: int, depth: int, file: str) -> str:
    """Return the name of the encoder whose names and shapes are these.

    Raises
    ------
    CheckpointError
        If there is none among those of the library.
    """
    wanted = {name: tuple(tensor.shape) for name, tensor in encoder.items()}
    for name in _candidates(encoder):
        if _shapes(name, in_channels, depth) == wanted:
            return name
    raise CheckpointError(
        f"{file} is a Unet of {NAME} over an encoder that could not be identified.",
        "Save it with model.save_pretrained(folder), which writes down the encoder, and open that folder.",
    )


def _candidates(encoder: Mapping[str, Tensor]) -> Iterator[str]:
    """Yield names of encoders, those with the same beginnings first."""
    likely = [
        name for start, names in BEGINNINGS.items() if any(key.startswith(start) for key in encoder) for name in names
    ]
    yield from likely
    known = library(LIBRARY, NAME).encoders.get_encoder_names()
    yield from (name for name in known if name not in likely)


def _place(encoder: str) -> AbstractContextManager[object]:
    """Return where an encoder is built: these ask numbers of tensors while they are, which needs memory."""
    return torch.device("cpu") if encoder.startswith("mit_") else nullcontext()


def _shapes(name: str, in_channels: int, depth: int) -> dict[str, tuple[int, ...]]:
    """Return names and shapes of an encoder, which takes no memory."""
    try:
        with torch.device("meta"), _place(name):
            encoder = library(LIBRARY, NAME).encoders.get_encoder(name, in_channels, depth, None)
    except BUILD_ERRORS:
        return {}  # one that cannot be built with so many channels or levels is not the one that is looked for
    return {key: tuple(tensor.shape) for key, tensor in encoder.state_dict().items()}


def _normalization(channels: int) -> Normalization:
    """Return how colour images of 8 bits were prepared when encoders were pretrained on ImageNet.

    The library itself would ask the internet for these numbers, which are the same for nearly all encoders.
    """
    if channels != 3:
        return Normalization()
    return Normalization(
        "fixed",
        offset=tuple(255 * value for value in IMAGENET_MEAN),
        scale=tuple(255 * value for value in IMAGENET_DEVIATION),
    )
