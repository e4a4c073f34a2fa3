"""New heads on trained bodies."""

from __future__ import annotations

import copy

import torch
from torch import nn

from napari_unet.errors import CheckpointError
from napari_unet.model.config import UNetConfig
from napari_unet.model.header import ClassInfo, Output
from napari_unet.model.unet import UNet

FRESH_STD = 0.01  # small, so that all classes begin about equally likely


def replace_head(network: nn.Module, config: UNetConfig, output: Output, classes: tuple[ClassInfo, ...]) -> UNet:
    """Copy a U-Net and give it a head of one softmax channel per class.

    Parameters
    ----------
    network : UNet
        The parent; not changed.
    config : UNetConfig
        The parent's, with the new ``out_channels``.
    output : Output
        What the parent's channels mean.
    classes : tuple of ClassInfo
        The new classes.

    Returns
    -------
    UNet
        In the parent's mode, on its device. Channels of kept classes have the parent's weights.
    """
    if not isinstance(network, UNet):
        raise CheckpointError("The head cannot be replaced: the network is no U-Net of ours.", "Start a new model.")
    old = network.head
    weight = torch.empty((len(classes), *old.weight.shape[1:]))
    nn.init.normal_(weight, std=FRESH_STD, generator=torch.Generator().manual_seed(len(classes)))
    bias = torch.zeros(len(classes))
    rows, biases = _class_rows(old, output)
    origin = _origins(tuple(info.name for info in output.classes), tuple(info.name for info in classes))
    known = {index: source for index, source in enumerate(origin) if source is not None and source < len(rows)}
    for index, source in known.items():
        weight[index], bias[index] = rows[source], biases[source]
    if known:  # A new class must be learned before it shows.
        fresh = [index for index in range(len(classes)) if index not in known]
        bias[fresh] = bias[list(known)].min() - 2.0
    child = copy.deepcopy(network)
    child.config = config
    head = copy.deepcopy(old)
    head.out_channels = len(classes)
    head.weight = nn.Parameter(weight.to(old.weight))
    head.bias = nn.Parameter(bias.to(old.weight))
    child.head = head
    return child


def _class_rows(head: nn.Conv2d | nn.Conv3d, output: Output) -> tuple[torch.Tensor, torch.Tensor]:
    """Weights and biases of one softmax logit per class of the parent; empty for instances."""
    weight = head.weight.detach().cpu().float()
    bias = torch.zeros(len(weight)) if head.bias is None else head.bias.detach().cpu().float()
    if output.kind == "classes":
        return weight, bias
    if output.kind == "binary":  # sigmoid(z) = softmax((0, z))[1]
        return torch.cat((torch.zeros_like(weight), weight)), torch.cat((torch.zeros_like(bias), bias))
    return weight[:0], bias[:0]


def _origins(old: tuple[str, ...], new: tuple[str, ...]) -> list[int | None]:
    """Old position of each new class: by name, else the same place if its old name is gone."""
    origins: list[int | None] = []
    for index, name in enumerate(new):
        renamed = index < len(old) and old[index] not in new
        origins.append(old.index(name) if name in old else index if renamed else None)
    return origins
