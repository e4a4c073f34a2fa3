"""pytorch-3dunet and PanSeg: UNet3D and UNet2D become ours, the residual ones are built here.

Checkpoints are mappings with ``model_state_dict``, those of PanSeg bare state dicts; the training configuration
(``config_train.yml``) says what the weights do not: the activation, the groups and the normalization.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from napari_unet.errors import CheckpointError
from napari_unet.image.normalize import Normalization
from napari_unet.model.checkpoint import Checkpoint, default_output
from napari_unet.model.config import Activation, UNetConfig, Widths
from napari_unet.model.families.borrowing import borrowed_checkpoint
from napari_unet.model.families.remapping import Known, own_checkpoint, packed, unet_names
from napari_unet.model.families.residual3d import ResidualUNet
from napari_unet.model.header import Output
from napari_unet.model.origin import Blueprint, Finding
from napari_unet.model.reading import Weights

NAME = "pytorch-3dunet"
PLAIN, RESIDUAL = "encoders.0.basic_module.SingleConv2.conv.weight", "encoders.0.basic_module.conv2.conv.weight"
HEAD = "final_conv.weight"
NORMS = {"groupnorm": "group", "batchnorm": "batch"}
LETTERS = {"g": "n", "b": "n", "c": "c", "r": "a", "l": "a", "e": "a"}
ACTIVATIONS: dict[str, Activation] = {"r": "relu", "l": "leaky_relu", "e": "elu"}


def recognize(weights: Weights) -> bool:
    """Return whether there are the first block and the last convolution."""
    return HEAD in weights.tensors and (PLAIN in weights.tensors or RESIDUAL in weights.tensors)


def build(weights: Weights) -> Checkpoint:
    """Infer the architecture, ask the training configuration where there is one, and load strictly.

    Raises
    ------
    CheckpointError
        If the tensors are not a whole network of this family.
    """
    head = weights.tensors[HEAD]
    if head.ndim not in (4, 5):
        raise CheckpointError(f"{weights.path.name} is no 2D or 3D network of {NAME}.", "Open a checkpoint of it.")
    stated = _stated(weights)
    known, groups, order = _known(weights, stated, PLAIN in weights.tensors)
    if PLAIN in weights.tensors:
        config = infer_config(weights, groups, order)
        return own_checkpoint(NAME, weights, config, names_of(config), known)
    arguments: dict[str, Any] = {
        "ndim": head.ndim - 2,
        "in_channels": _first_width(weights),
        "out_channels": head.shape[0],
        "features": [
            weights.tensors[f"encoders.{n}.basic_module.conv2.conv.weight"].shape[0] for n in _levels(weights)
        ],
        "order": order,
        "groups": groups,
    }
    grid = (2 ** (len(_levels(weights)) - 1),) * (head.ndim - 2)
    blueprint = Blueprint(NAME, known.variant, arguments, grid)
    return borrowed_checkpoint(weights, blueprint, known, head.ndim - 2, arguments["in_channels"], head.shape[0])


def construct(network: str, arguments: dict[str, Any]) -> nn.Module:
    """Build a residual network, for a blueprint."""
    return ResidualUNet(**arguments)


def pack(checkpoint: Checkpoint) -> Mapping[str, Tensor]:
    """Return the weights under pytorch-3dunet's names."""
    if checkpoint.header.config is None:
        return checkpoint.network.state_dict()
    return packed(checkpoint, names_of)


def infer_config(weights: Weights, groups: int, order: str) -> UNetConfig:
    """Read channels, levels and normalization from the shapes.

    Parameters
    ----------
    weights : Weights
        Of a UNet3D or UNet2D.
    groups : int
        Of its group normalizations.
    order : str
        Letters of its layers, as pytorch-3dunet writes them.

    Raises
    ------
    CheckpointError
        If a shape is no convolution's, or out of bounds.
    """
    tensors = weights.tensors
    depth = len(_levels(weights)) - 1
    try:
        encoder = tuple(_widths(weights, f"encoders.{level}") for level in range(depth + 1))
        decoder = tuple(_widths(weights, f"decoders.{depth - 1 - level}") for level in range(depth))
    except KeyError as error:
        raise CheckpointError(
            f"{weights.path.name} looks like a network of {NAME}, but {error} is missing.",
            "Save the state dict of the whole network.",
        ) from error
    below = (*(level[-1] for level in decoder[1:]), encoder[-1][-1])
    upsample = _model(weights).get("upsample")
    letters = "".join(LETTERS[letter] for letter in order if letter in LETTERS)
    return UNetConfig(
        ndim=2 if tensors[HEAD].ndim == 4 else 3,
        in_channels=_first_width(weights),
        out_channels=tensors[HEAD].shape[0],
        features=tuple(level[-1] for level in encoder),
        norm="group" if "g" in order else "batch" if "b" in order else "none",
        groups=groups,
        activation=next((ACTIVATIONS[letter] for letter in order if letter in ACTIVATIONS), "relu"),
        order=letters if "n" in letters else letters.replace("c", "cn"),
        upsampling="interpolate" if upsample in ("linear", "bilinear", "trilinear") else "nearest",
        bias=PLAIN.replace("weight", "bias") in tensors,
        widths=Widths(encoder, below, decoder),
    )


def names_of(config: UNetConfig) -> dict[str, str]:
    """Return our names of the parameters → pytorch-3dunet's.

    Examples
    --------
    >>> names_of(UNetConfig(upsampling="nearest"))["encoder.1.layers.3.weight"]
    'encoders.1.basic_module.SingleConv2.conv.weight'
    """
    norm = {"group": "groupnorm", "batch": "batchnorm"}.get(config.norm, "")
    depth = len(config.features) - 1

    def unit(block: str, number: int) -> tuple[str, str]:
        stem = f"{block}.basic_module.SingleConv{number + 1}"
        return f"{stem}.conv", f"{stem}.{norm}"

    return unet_names(
        config,
        lambda level, number: unit(f"encoders.{level}", number),
        lambda level, number: unit(f"decoders.{depth - 1 - level}", number),
        lambda level: "",
        "final_conv",
    )


def _levels(weights: Weights) -> range:
    kind = PLAIN if PLAIN in weights.tensors else RESIDUAL
    count = 0
    while kind.replace("encoders.0", f"encoders.{count}") in weights.tensors:
        count += 1
    return range(count)


def _widths(weights: Weights, block: str) -> tuple[int, ...]:
    stems = [f"{block}.basic_module.SingleConv{number}.conv.weight" for number in (1, 2)]
    return tuple(weights.tensors[name].shape[0] for name in stems)


def _first_width(weights: Weights) -> int:
    stem = "encoders.0.basic_module."
    names = ("SingleConv1.conv.weight", "conv1.weight", "conv2.conv.weight")
    return next(weights.tensors[stem + name].shape[1] for name in names if stem + name in weights.tensors)


def _model(weights: Weights) -> dict[str, Any]:
    """Return the part of the training configuration that describes the model."""
    for name in ("config_train.yml", "config_train.yaml"):
        document = weights.documents.get(name)
        if isinstance(document, dict) and isinstance(document.get("model"), dict):
            return {**document["model"], **weights.told}
    return weights.told


def _stated(weights: Weights) -> dict[str, Any]:
    """Return the model's settings and how raw images are prepared, as far as the configuration says."""
    stated = _model(weights)
    for name in ("config_train.yml", "config_train.yaml"):
        document = weights.documents.get(name)
        loaders = document.get("loaders") if isinstance(document, dict) else None
        for phase in ("test", "val", "train"):
            part = loaders.get(phase) if isinstance(loaders, dict) else None
            transformer = part.get("transformer") if isinstance(part, dict) else None
            raw = transformer.get("raw") if isinstance(transformer, dict) else None
            if isinstance(raw, list) and "raw" not in stated:
                stated["raw"] = [step for step in raw if isinstance(step, dict)]
    return stated


def _known(weights: Weights, stated: dict[str, Any], plain: bool) -> tuple[Known, int, str]:
    """Return what is known, the groups, and the order of the layers."""
    out = weights.tensors[HEAD].shape[0]
    flat = weights.tensors[HEAD].ndim == 4
    findings = [Finding("levels", str(len(_levels(weights))), "weights")]
    order, how = _order(weights, stated)
    findings.append(Finding("layer order", order, how, "layer_order"))
    groups = stated.get("num_groups")
    if groups is not None and (not isinstance(groups, int) or groups < 1):
        raise _unusable(weights, "num_groups", groups, "a whole number")
    if "g" in order:
        findings.append(Finding("groups", str(groups or 8), "file" if groups else "assumed", "num_groups"))
    activation, how = _activation(stated, out)
    findings.append(Finding("activation", activation, how))
    normalization, how = _normalization(stated.get("raw") or [])
    findings.append(Finding("normalization", normalization.sentence, how))
    default = "ResidualUNet" if not plain else "UNet"
    output = default_output(out)
    known = Known(
        variant=str(stated.get("name") or f"{default}{2 if flat else 3}D"),
        normalization=normalization,
        output=Output(output.kind, activation, output.channels, output.classes),  # type: ignore[arg-type]
        findings=tuple(findings),
    )
    return known, groups or 8, order


def _order(weights: Weights, stated: dict[str, Any]) -> tuple[str, Any]:
    """Return the letters of a unit's layers; where the norm stands shows in its width."""
    order = stated.get("layer_order")
    if order is not None:
        if not isinstance(order, str) or not set(order) <= {*LETTERS, "d", "D"} or "c" not in order:
            raise _unusable(weights, "layer_order", order, f"letters of {''.join(LETTERS)}dD, with a c")
        return order, "file"
    stem = (PLAIN if PLAIN in weights.tensors else RESIDUAL).removesuffix("conv.weight")
    kernel = weights.tensors[stem + "conv.weight"]
    for norm, letter in (("groupnorm", "g"), ("batchnorm", "b")):
        if stem + norm + ".weight" in weights.tensors:
            width = weights.tensors[stem + norm + ".weight"].shape[0]
            names = list(weights.tensors)
            first = names.index(stem + norm + ".weight") < names.index(stem + "conv.weight")
            before = width == kernel.shape[1] if kernel.shape[0] != kernel.shape[1] else first
            return (f"{letter}cr", "assumed") if before else (f"c{letter}r", "assumed")
    return "cr", "assumed"


def _unusable(weights: Weights, name: str, value: object, expected: str) -> CheckpointError:
    return CheckpointError(
        f"{name} of {weights.path.name} is said to be {value!r:.40}, expected {expected}.",
        "Look it up in the configuration that the network was trained with.",
    )


def _activation(stated: dict[str, Any], channels: int) -> tuple[str, Any]:
    if stated.get("is_segmentation") is False:
        return "none", "file"
    if isinstance(stated.get("final_sigmoid"), bool):
        return ("sigmoid" if stated["final_sigmoid"] else "softmax"), "file"
    return ("sigmoid" if channels == 1 else "softmax"), "assumed"


def _normalization(steps: list[dict[str, Any]]) -> tuple[Normalization, Any]:
    """Return how raw images are prepared; most configurations standardize."""
    for step in steps:
        each = step.get("channelwise") is True
        if step.get("name") == "Standardize":
            if _numbers(step, "mean", "std"):
                return Normalization("fixed", offset=(float(step["mean"]),), scale=(float(step["std"]),)), "file"
            return Normalization("zscore", per_channel=each), "file"
        if step.get("name") == "PercentileNormalizer":
            low, high = step.get("pmin", 1), step.get("pmax", 99.6)
            return Normalization("percentile", low=float(low), high=float(high), per_channel=each), "file"
        if step.get("name") == "Normalize" and _numbers(step, "min_value", "max_value"):
            low, high = float(step["min_value"]), float(step["max_value"])
            if step.get("norm01") is True:
                return Normalization("fixed", offset=(low,), scale=(high - low,), clip=(0.0, 1.0)), "file"
            middle, half = (low + high) / 2, (high - low) / 2
            return Normalization("fixed", offset=(middle,), scale=(half,), clip=(-1.0, 1.0)), "file"
        if step.get("name") == "Normalize" and step.get("norm01") is True:
            return Normalization("percentile", low=0, high=100, per_channel=each, clip=(0.0, 1.0)), "file"
    return Normalization("zscore", per_channel=False), "assumed"


def _numbers(step: dict[str, Any], *names: str) -> bool:
    return all(isinstance(step.get(name), int | float) for name in names)
