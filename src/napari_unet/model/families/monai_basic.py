"""MONAI's BasicUNet, which is a plain U-Net of five levels: it becomes ours and needs no library."""

from __future__ import annotations

from torch import Tensor

from napari_unet.errors import CheckpointError
from napari_unet.model.checkpoint import Checkpoint
from napari_unet.model.config import UNetConfig, Widths
from napari_unet.model.families.bundles import bundle_of
from napari_unet.model.families.remapping import Known, own_checkpoint, packed, unet_names
from napari_unet.model.origin import Finding
from napari_unet.model.reading import Weights

NAME = "MONAI BasicUNet"
DEPTH = 4
ENCODER = ("conv_0", *(f"down_{level}.convs" for level in range(1, DEPTH + 1)))
FIRST, LAST = "conv_0.conv_0.conv.weight", "final_conv.weight"
SLOPE = 0.1  # MONAI's default for this network


def recognize(weights: Weights) -> bool:
    """Return whether the first and the last convolution have MONAI's names."""
    return (
        FIRST in weights.tensors and LAST in weights.tensors and "upcat_4.convs.conv_0.conv.weight" in weights.tensors
    )


def build(weights: Weights) -> Checkpoint:
    """Infer the architecture and load strictly.

    Raises
    ------
    CheckpointError
        If the tensors are not a whole BasicUNet, or it enlarges by pixel shuffling.
    """
    if any("pixelshuffle" in name for name in weights.tensors):
        raise CheckpointError(
            f"{weights.path.name} is a BasicUNet that enlarges by pixel shuffling, which is not known here.",
            "From Python, any network runs through Checkpoint.from_module.",
        )
    bundle = bundle_of(weights.documents)
    stated = {**(bundle.arguments if bundle.network == "BasicUNet" else {}), **weights.told}
    config, findings = infer_config(weights, stated)
    normalization, how = bundle.normalization()
    output, meant = bundle.output(config.out_channels)
    findings += (Finding("normalization", normalization.sentence, how), *meant)
    return own_checkpoint(NAME, weights, config, names_of(config), Known("BasicUNet", normalization, output, findings))


def pack(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """Return the weights under MONAI's names."""
    return packed(checkpoint, names_of)


def infer_config(weights: Weights, stated: dict[str, object]) -> tuple[UNetConfig, tuple[Finding, ...]]:
    """Read channels, normalization and upsampling from names and shapes.

    Parameters
    ----------
    weights : Weights
        Of a BasicUNet.
    stated : dict
        Arguments that a bundle gives.

    Raises
    ------
    CheckpointError
        If a convolution is missing, or a number is out of bounds.
    """
    tensors = weights.tensors
    try:
        encoder = tuple(_widths(tensors, block) for block in ENCODER)
        decoder = tuple(_widths(tensors, f"upcat_{level + 1}.convs") for level in range(DEPTH))
        rising = tuple(
            tensors[f"upcat_{level + 1}.convs.conv_0.conv.weight"].shape[1] - encoder[level][-1]
            for level in range(DEPTH)
        )
    except KeyError as error:
        raise CheckpointError(
            f"{weights.path.name} looks like a BasicUNet of MONAI, but {error} is missing.",
            "Save the state dict of the whole network.",
        ) from error
    transposed = "upcat_4.upsample.deconv.weight" in tensors
    norm = "conv_0.conv_0.adn.N"
    affine = f"{norm}.weight" in tensors
    slope = _slope(stated.get("act"))
    config = UNetConfig(
        ndim=2 if tensors[FIRST].ndim == 4 else 3,
        in_channels=tensors[FIRST].shape[1],
        out_channels=tensors[LAST].shape[0],
        features=tuple(level[-1] for level in encoder),
        norm="batch" if f"{norm}.running_mean" in tensors else "instance",
        affine=affine,
        activation="leaky_relu",
        slope=SLOPE if slope is None else slope,
        upsampling="transpose" if transposed else "interpolate",
        align_corners=not transposed,
        project="upcat_4.upsample.preconv.weight" in tensors,
        bias="conv_0.conv_0.conv.bias" in tensors,
        widths=Widths(encoder, rising, decoder),
    )
    how = "weights" if config.norm == "batch" else "assumed"
    return config, (
        Finding("upsampling", config.upsampling, "weights"),
        Finding("norm", config.norm, "file" if "norm" in stated else how),  # type: ignore[arg-type]
        Finding("layers", f"leaky ReLU of {config.slope:g}", "assumed" if slope is None else "file"),
    )


def names_of(config: UNetConfig) -> dict[str, str]:
    """Return our names of the parameters → MONAI's.

    Examples
    --------
    >>> names_of(UNetConfig())["encoder.1.layers.3.weight"]
    'down_1.convs.conv_1.conv.weight'
    """

    def unit(block: str, number: int) -> tuple[str, str]:
        return f"{block}.conv_{number}.conv", f"{block}.conv_{number}.adn.N"

    way = "deconv" if config.upsampling == "transpose" else "preconv"
    return unet_names(
        config,
        lambda level, number: unit(ENCODER[level], number),
        lambda level, number: unit(f"upcat_{level + 1}.convs", number),
        lambda level: f"upcat_{level + 1}.upsample.{way}",
        "final_conv",
    )


def _widths(tensors: object, block: str) -> tuple[int, ...]:
    return tuple(tensors[f"{block}.conv_{number}.conv.weight"].shape[0] for number in (0, 1))  # type: ignore[index]


def _slope(act: object) -> float | None:
    """Return the slope that a bundle states."""
    inner = act[1] if isinstance(act, list) and len(act) == 2 else None
    slope = inner.get("negative_slope") if isinstance(inner, dict) else None
    return float(slope) if isinstance(slope, int | float) else None
