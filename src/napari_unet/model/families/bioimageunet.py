"""bio-image-unet: Unet (2D) and UNet3D become ours; both return sigmoid scores of each channel."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from napari_unet.errors import CheckpointError
from napari_unet.image.normalize import Normalization
from napari_unet.model.checkpoint import Checkpoint, default_output
from napari_unet.model.config import UNetConfig, Widths
from napari_unet.model.families.remapping import Known, own_checkpoint, packed, unet_names
from napari_unet.model.header import Output
from napari_unet.model.origin import Finding
from napari_unet.model.reading import Weights

NAME = "bio-image-unet"
FIRST, MIDDLE, DECODER = "encode1.0.weight", "middle_conv2.0.weight", "decode1.0.weight"
HEADS = ("final.0.weight", "final.weight")  # of the 2D and of the 3D network
SLOPE = 0.1
ADVICE = "Known are its Unet and UNet3D."


def recognize(weights: Weights) -> bool:
    """Return whether there are the first, the middle and the last convolution."""
    return {FIRST, MIDDLE, DECODER} <= set(weights.tensors) and any(name in weights.tensors for name in HEADS)


def build(weights: Weights) -> Checkpoint:
    """Infer the architecture and load strictly.

    Raises
    ------
    CheckpointError
        If it is another of the package's networks, dilated, or the tensors are not a whole one.
    """
    others = [name for name in ("attention1.W_gate.0.weight", "decode9.0.weight") if name in weights.tensors]
    if others or weights.beside.get("dilation", 1) not in (1, None):
        raise CheckpointError(
            f"{weights.path.name} is a network of {NAME} with attention, dilation or its first design.", ADVICE
        )
    config = infer_config(weights)
    output = default_output(config.out_channels)
    low, high = _clip(weights.beside.get("clip_threshold"))
    findings = (
        Finding("upsampling", config.upsampling, "weights"),
        Finding("layers", f"leaky ReLU of {SLOPE}", "assumed"),
        Finding("activation", "sigmoid", "assumed"),
        Finding("normalization", f"percentiles {low:g} to {high:g} map to 0 and 1", "assumed"),
    )
    known = Known(
        "Unet" if config.ndim == 2 else "UNet3D",
        # Its own prediction cuts at percentiles, brings images to 8 bits, and divides them by 255.
        Normalization("percentile", low=low, high=high, per_channel=False, clip=(0.0, 1.0)),
        Output(output.kind, "sigmoid", output.channels, output.classes),
        findings,
    )
    return own_checkpoint(NAME, weights, config, names_of(config), known, up_first=True)


def pack(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """Return the weights under their own names, in their own order of channels."""
    return packed(checkpoint, names_of, up_first=True)


def infer_config(weights: Weights) -> UNetConfig:
    """Read channels, levels and upsampling from the shapes.

    Raises
    ------
    CheckpointError
        If a convolution is missing, or a number is out of bounds.
    """
    tensors = weights.tensors
    depth = 0
    while f"encode{2 * depth + 1}.0.weight" in tensors:
        depth += 1
    ndim = tensors[FIRST].ndim - 2
    try:
        encoder = [_widths(tensors, _encoder(level, depth)) for level in range(depth + 1)]
        decoder = [_widths(tensors, _decoder(level, depth)) for level in range(depth)]
        joined = [tensors[f"{_decoder(level, depth)[0]}.0.weight"].shape[1] for level in range(depth)]
    except KeyError as error:
        raise CheckpointError(
            f"{weights.path.name} looks like a network of {NAME}, but {error} is missing.", ADVICE
        ) from error
    rising = tuple(width - encoder[level][-1] for level, width in enumerate(joined))
    transposed = "up1.weight" in tensors
    return UNetConfig(
        ndim=2 if ndim == 2 else 3,
        in_channels=tensors[FIRST].shape[1],
        out_channels=next(tensors[name].shape[0] for name in HEADS if name in tensors),
        features=tuple(level[-1] for level in encoder),
        activation="leaky_relu",
        slope=SLOPE,
        upsampling="transpose" if transposed else "interpolate",
        bias=True,
        widths=Widths(tuple(encoder), rising, tuple(decoder)),
    )


def names_of(config: UNetConfig) -> dict[str, str]:
    """Return our names of the parameters → theirs.

    Examples
    --------
    >>> names_of(UNetConfig())["encoder.1.layers.3.weight"]
    'encode4.0.weight'
    """
    depth = len(config.features) - 1

    def unit(block: str) -> tuple[str, str]:
        return f"{block}.0", f"{block}.1"

    return unet_names(
        config,
        lambda level, number: unit(_encoder(level, depth)[number]),
        lambda level, number: unit(_decoder(level, depth)[number]),
        lambda level: f"up{depth - level}",
        "final.0" if config.ndim == 2 else "final",
    )


def _encoder(level: int, depth: int) -> tuple[str, str]:
    """Return the names of a level's two convolutions."""
    return ("middle_conv1", "middle_conv2") if level == depth else (f"encode{2 * level + 1}", f"encode{2 * level + 2}")


def _decoder(level: int, depth: int) -> tuple[str, str]:
    first = 2 * (depth - 1 - level) + 1
    return f"decode{first}", f"decode{first + 1}"


def _widths(tensors: Mapping[str, Tensor], blocks: tuple[str, str]) -> tuple[int, ...]:
    return tuple(tensors[f"{block}.0.weight"].shape[0] for block in blocks)


def _clip(given: object) -> tuple[float, float]:
    """Return the percentiles that training cut at; those of its prediction where they are not usable."""
    if isinstance(given, list) and len(given) == 2 and all(isinstance(value, int | float) for value in given):
        low, high = float(given[0]), float(given[1])
        if 0 <= low < high <= 100:
            return low, high
    return 0.0, 99.8
