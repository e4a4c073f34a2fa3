"""New heads on trained bodies."""

from __future__ import annotations

import copy
from dataclasses import replace

import torch
from torch import nn

from napari_unet.errors import CheckpointError
from napari_unet.model.config import UNetConfig
from napari_unet.model.header import CheckpointHeader, ClassInfo, Output
from napari_unet.model.origin import Blueprint
from napari_unet.model.outputs import class_output
from napari_unet.model.unet import UNet

COUNTS = ("out_channels", "num_classes", "classes")  # what constructors call the number of channels
FRESH_HEAD = "fresh_head"  # key of the provenance: the head has never learned anything
FRESH_STD = 0.01  # small, so that all classes begin about equally likely


def with_classes(
    network: nn.Module, header: CheckpointHeader, classes: tuple[ClassInfo, ...]
) -> tuple[nn.Module, CheckpointHeader]:
    """Return a copy of a network whose head has these classes, and its header; see `Checkpoint.with_classes`.

    Raises
    ------
    CheckpointError
        If the last layer does not allow it, or there are too few or equal classes.
    """
    output, names = header.output, tuple(info.name for info in classes)
    child = replace(
        header,
        parent=header.weights_hash or header.parent,
        weights_hash="",
        family="napari-unet",
        # A fresh head has no answers that would be worth keeping.
        rehearsal="" if output.instances else header.rehearsal,
        provenance=header.provenance | ({FRESH_HEAD: True} if output.instances else {}),
    )
    if output.kind == "classes" and _origins(output, names) == list(range(len(output.channels))):
        return copy.deepcopy(network), replace(child, output=replace(output, channels=names, classes=classes))
    count = len(classes)
    if header.config is not None:
        config = replace(header.config, out_channels=count)
        new = replace(child, config=config, out_channels=count, output=class_output(classes))
        return replace_head(network, config, output, classes), new
    if header.blueprint is None:
        raise _fixed(header.name, "the network is not one of ours, nor of a library that builds it anew")
    found, blueprint = replace_borrowed_head(network, header.blueprint, output, names, header.name)
    return found, replace(child, blueprint=blueprint, out_channels=count, output=class_output(classes))


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
    names = tuple(info.name for info in classes)
    weight = mapped(old.weight, 0, output, names)
    bias = mapped(torch.zeros(len(old.weight)) if old.bias is None else old.bias, 0, output, names)
    child = copy.deepcopy(network)
    child.config = config
    head = copy.deepcopy(old)
    head.out_channels = len(classes)
    head.weight = nn.Parameter(weight.to(old.weight))
    head.bias = nn.Parameter(bias.to(old.weight))
    child.head = head
    return child


def replace_borrowed_head(
    network: nn.Module, blueprint: Blueprint, output: Output, names: tuple[str, ...], name: str
) -> tuple[nn.Module, Blueprint]:
    """Build a library's network again for other classes, and give it the weights of the old one.

    Only tensors with one axis that follows the number of channels can be changed: those of a last convolution, or of
    several heads side by side. Which they are shows when the network is built with one channel more.

    Parameters
    ----------
    network : torch.nn.Module
        The parent; not changed.
    blueprint : Blueprint
        How it was built.
    output : Output
        What the parent's channels mean.
    names : tuple of str
        The new classes.
    name : str
        Of the model, for the message.

    Raises
    ------
    CheckpointError
        If the network gives scores rather than logits, or its last layers do not allow it.
    """
    from napari_unet.model.families.borrowing import construct
    from napari_unet.model.weights import load_into, once_each

    count = len(output.channels)
    key = next((key for key in COUNTS if blueprint.arguments.get(key) == count), None)
    if key is None or output.activation == "none":
        raise _fixed(name, "their scores are made by the network itself")
    with torch.device("meta"):
        more = once_each(construct(_sized(blueprint, key, count + 1)))
    tensors = {}
    for place, tensor in once_each(network).items():
        shape, other = tuple(tensor.shape), tuple(more[place].shape) if place in more else ()
        axes = [axis for axis, (one, two) in enumerate(zip(shape, other, strict=False)) if one != two]
        if len(shape) != len(other) or len(axes) > 1 or any(other[axis] != shape[axis] + 1 for axis in axes):
            raise _fixed(name, f"more than its last layer depends on their number, such as {place}")
        tensors[place] = mapped(tensor, axes[0], output, names) if axes else tensor.detach().clone()
    new = _sized(blueprint, key, len(names))
    return load_into(lambda: construct(new), tensors, name), new


def mapped(tensor: torch.Tensor, axis: int, output: Output, names: tuple[str, ...]) -> torch.Tensor:
    """Return weights or biases of a head with one entry per new class; those of kept classes are the parent's.

    Parameters
    ----------
    tensor : torch.Tensor
        Of the parent's head.
    axis : int
        Along which its channels are.
    output : Output
        What they mean.
    names : tuple of str
        The new classes.
    """
    rows = tensor.detach().cpu().float().movedim(axis, 0)
    if output.kind == "binary":  # sigmoid(z) = softmax((0, z))[1]
        rows = torch.cat((torch.zeros_like(rows), rows))
    if output.instances:
        rows = rows[:0]
    found = torch.zeros((len(names), *rows.shape[1:]))
    if rows.ndim > 1:
        nn.init.normal_(found, std=FRESH_STD, generator=torch.Generator().manual_seed(len(names)))
    known = {n: source for n, source in enumerate(_origins(output, names)) if source is not None and source < len(rows)}
    for index, source in known.items():
        found[index] = rows[source]
    if known and rows.ndim == 1:  # A new class must be learned before it shows.
        fresh = [index for index in range(len(names)) if index not in known]
        found[fresh] = found[list(known)].min() - 2.0
    return found.movedim(0, axis).contiguous()


def _sized(blueprint: Blueprint, key: str, count: int) -> Blueprint:
    return replace(blueprint, arguments={**blueprint.arguments, key: count})


def _fixed(name: str, why: str) -> CheckpointError:
    return CheckpointError(
        f"The classes of {name} can be renamed, but not added or removed: {why}.",
        "Start a new model, or from a built-in one.",
    )


def _origins(output: Output, new: tuple[str, ...]) -> list[int | None]:
    """Old position of each new class: by name, else the same place if its old name is gone."""
    old = tuple(info.name for info in output.classes)
    origins: list[int | None] = []
    for index, name in enumerate(new):
        renamed = index < len(old) and old[index] not in new
        origins.append(old.index(name) if name in old else index if renamed else None)
    return origins
