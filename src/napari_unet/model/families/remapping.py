"""Weights of a plain U-Net of another package, as our own `UNet`, and back.

Most packages concatenate the encoder's features first, as we do. Where what comes up from below is first, the channels
that a decoder's block reads are put into the other order, so that the scores are the same::

    theirs   [ up | skip ] ── weight (out, up + skip, …)
    ours     [ skip | up ] ── weight (out, skip + up, …)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from napari_unet.errors import CheckpointError
from napari_unet.image.normalize import Normalization
from napari_unet.model.checkpoint import Checkpoint, default_output
from napari_unet.model.config import UNetConfig
from napari_unet.model.geometry import level_steps
from napari_unet.model.header import CheckpointHeader, Output
from napari_unet.model.origin import Finding, Origin
from napari_unet.model.outputs import classes_finding
from napari_unet.model.reach import check_run
from napari_unet.model.reading import Weights
from napari_unet.model.unet import UNet
from napari_unet.model.weights import build_network, hash_tensors

# What normalizations store.
PARTS = {
    "batch": ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"),
    "group": ("weight", "bias"),
    "instance": ("weight", "bias"),
    "none": (),
}


@dataclass(frozen=True)
class Known:
    """What a family found out about its weights besides the network.

    Parameters
    ----------
    variant : str
        The class in its own package.
    normalization : Normalization
        How its package prepares images.
    output : Output, optional
        What the channels mean; `default_output` when omitted.
    findings : tuple of Finding
        What is known, and how.
    details : dict
        What `pack` needs besides the configuration.
    voxel_size : tuple of float, optional
        In µm.
    """

    variant: str
    normalization: Normalization
    output: Output | None = None
    findings: tuple[Finding, ...] = ()
    details: dict[str, Any] = field(default_factory=dict)
    voxel_size: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        Normalization.from_dict(self.normalization.to_dict())  # checks numbers that a file stated


def own_checkpoint(
    family: str, weights: Weights, config: UNetConfig, names: Mapping[str, str], known: Known, up_first: bool = False
) -> Checkpoint:
    """Make our own U-Net of somebody's weights.

    Parameters
    ----------
    family : str
        Its name.
    weights : Weights
        What the file held.
    config : UNetConfig
        The network.
    names : mapping of str to str
        Our name of a parameter → theirs, for all of the network's.
    known : Known
        The rest.
    up_first : bool
        Whether what comes up from below is concatenated first.

    Raises
    ------
    CheckpointError
        If a tensor is missing, too much or of another shape, or the network does not run.
    """
    network = build_network(config, weights.tensors, weights.path.name, lambda name: names.get(name, name))
    if up_first:
        network.load_state_dict(reordered(network.state_dict(), config, to_ours=True))
    check_run(network, config.in_channels, config.out_channels, level_steps(config)[-1], weights.path.name)
    return Checkpoint(network, header_of(family, weights, config, network, known))


def header_of(family: str, weights: Weights, config: UNetConfig, network: UNet, known: Known) -> CheckpointHeader:
    """Return the header of a remapped network."""
    return CheckpointHeader(
        name=weights.path.stem,
        config=config,
        normalization=known.normalization,
        output=known.output or default_output(config.out_channels),
        voxel_size=known.voxel_size,
        family=family,
        weights_hash=hash_tensors(network.state_dict()),
        ndim=config.ndim,
        in_channels=config.in_channels,
        out_channels=config.out_channels,
        origin=origin_of(family, weights, known, config.out_channels),
    )


def origin_of(family: str, weights: Weights, known: Known, channels: int) -> Origin:
    """Return what is needed to write the weights back; that nobody names several channels is said here."""
    findings = known.findings
    if channels > 1 and all(finding.what != "classes" for finding in findings):
        findings += (classes_finding(known.output or default_output(channels), "assumed"),)
    return Origin(
        family=family,
        variant=known.variant,
        file=weights.file,
        container=weights.container,
        prefix=weights.prefix,
        beside=weights.beside,
        documents=weights.documents,
        details=known.details,
        findings=findings,
    )


def packed(
    checkpoint: Checkpoint, names_of: Callable[[UNetConfig], Mapping[str, str]], up_first: bool = False
) -> dict[str, Tensor]:
    """Return the weights of a remapped network under their own names again.

    Parameters
    ----------
    checkpoint : Checkpoint
        With a U-Net of ours.
    names_of : callable
        Configuration → our name of each parameter → theirs.
    up_first : bool
        Whether what comes up from below is concatenated first.

    Raises
    ------
    CheckpointError
        If its network is another one.
    """
    config = checkpoint.header.config
    if config is None:
        raise CheckpointError(f"{checkpoint.header.name} is no U-Net of ours.", "Export it in our own format.")
    state, names = dict(checkpoint.network.state_dict()), names_of(config)
    if up_first:
        state = reordered(state, config, to_ours=False)
    return {names[name]: tensor for name, tensor in state.items()}


def reordered(state: Mapping[str, Tensor], config: UNetConfig, *, to_ours: bool) -> dict[str, Tensor]:
    """Exchange what comes up from below and what the skip connection brings, in what the decoder's blocks read.

    Parameters
    ----------
    state : mapping of str to torch.Tensor
        Under our names.
    config : UNetConfig
        The network.
    to_ours : bool
        From up first to skip first, or the other way round.
    """
    result = dict(state)
    depth = len(config.features) - 1
    for place, level in enumerate(reversed(range(depth))):
        skip, up = config.features[level], config.channels.rising[level]
        parts = (up, skip) if to_ours else (skip, up)
        for index, letter in enumerate(layers(config)):
            convolution = letter == "c"
            for part in ("weight",) if convolution else PARTS["batch"]:
                name = f"decoder.{place}.layers.{index}.{part}"
                if name in result and result[name].ndim:
                    first, second = torch.split(result[name], list(parts), dim=int(convolution))
                    result[name] = torch.cat((second, first), dim=int(convolution))
            if convolution:  # what follows sees the convolution's own channels
                break
    return result


def layers(config: UNetConfig) -> str:
    """Return the layers of one unit that there are: the configured order without a norm that is none."""
    return config.order if config.norm != "none" else config.order.replace("n", "")


def unet_names(
    config: UNetConfig,
    encoder: Callable[[int, int], tuple[str, str]],
    decoder: Callable[[int, int], tuple[str, str]],
    up: Callable[[int], str],
    head: str,
) -> dict[str, str]:
    """Return our name of each parameter → theirs.

    Parameters
    ----------
    config : UNetConfig
        The network.
    encoder, decoder : callable
        Level (the bottleneck is the encoder's last) and number of the convolution in the block → their names of the
        convolution and of its normalization.
    up : callable
        Level → their name of the transposed or projecting convolution that leads up into it.
    head : str
        Their name of the last convolution.
    """
    depth = len(config.features) - 1
    names = {f"head.{part}": f"{head}.{part}" for part in ("weight", "bias")}
    for level in range(depth + 1):
        block = "bottleneck" if level == depth else f"encoder.{level}"
        count = config.bottleneck_convolutions if level == depth else config.convolutions
        for unit in range(count):
            names |= _unit_names(config, block, unit, *encoder(level, unit))
    for place, level in enumerate(reversed(range(depth))):
        for unit in range(config.convolutions):
            names |= _unit_names(config, f"decoder.{place}", unit, *decoder(level, unit))
        below = config.features[-1] if place == 0 else config.channels.decoder[level + 1][-1]
        if config.upsampling == "transpose" or (config.project and below != config.channels.rising[level]):
            ours = f"upsampling.{place}" + (".projection" if config.project else "")
            names |= {f"{ours}.{part}": f"{up(level)}.{part}" for part in ("weight", "bias")}
    return names


def _unit_names(config: UNetConfig, block: str, unit: int, convolution: str, norm: str) -> dict[str, str]:
    order = layers(config)
    names: dict[str, str] = {}
    for index, letter in enumerate(order):
        ours = f"{block}.layers.{unit * len(order) + index}"
        if letter == "c":
            parts: tuple[str, ...] = ("weight", "bias") if config.bias else ("weight",)
            names |= {f"{ours}.{part}": f"{convolution}.{part}" for part in parts}
        elif letter == "n" and (config.norm != "instance" or config.affine):
            names |= {f"{ours}.{part}": f"{norm}.{part}" for part in PARTS[config.norm]}
    return names
