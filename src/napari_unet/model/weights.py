"""Tensors in and out of networks: screened, hashed, loaded strictly."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from napari_unet.errors import CheckpointError
from napari_unet.model.config import UNetConfig
from napari_unet.model.tensorfile import MAX_FILE_BYTES, MAX_KEY, MAX_TENSORS
from napari_unet.model.unet import UNet

MAX_PARAMETERS = 2**30
SHOWN_DIFFERENCES = 5
STATE_DICT = "Ask for the state dict: torch.save(model.state_dict(), 'weights.pt'), and open that file."


def screen_tensors(values: Mapping[Any, object], name: str) -> dict[str, torch.Tensor]:
    """Check that a mapping holds nothing but sound tensors.

    Parameters
    ----------
    values : mapping
        What a file contained; not trusted.
    name : str
        File name, for the message.

    Returns
    -------
    dict of str to torch.Tensor
        The same tensors.

    Raises
    ------
    CheckpointError
        If a key is no short text; a value no dense real tensor in memory whose storage holds
        all of its elements; or a weight NaN or infinite.
    """
    if len(values) > MAX_TENSORS:
        raise CheckpointError(f"{name} holds {len(values)} tensors, more than the {MAX_TENSORS} allowed.", STATE_DICT)
    screened: dict[str, torch.Tensor] = {}
    finite: set[object] = set()  # files of nnU-Net hold each tensor up to four times
    total = 0
    for key, value in values.items():
        if not isinstance(key, str) or not 0 < len(key) <= MAX_KEY:
            raise CheckpointError(f"{name} has an entry named {key!r:.80}, expected parameter names.", STATE_DICT)
        problem = _tensor_problem(value)
        if not problem and isinstance(value, torch.Tensor):
            total += value.numel() * value.element_size()
            place = (value.data_ptr(), value.dtype, value.shape, value.stride())
            if total > MAX_FILE_BYTES:
                problem = f"is one tensor too many: together they exceed {MAX_FILE_BYTES} bytes"
            elif place not in finite and not _is_finite(value):
                problem = "contains NaN or infinite values"
            finite.add(place)
            screened[key] = value
        if problem:
            raise CheckpointError(f"{name} cannot be used: {key!r} {problem}.", STATE_DICT)
    return screened


def _is_finite(tensor: torch.Tensor) -> bool:
    """Whether no value is NaN or infinite; one pass without a copy."""
    if not tensor.is_floating_point() or tensor.numel() == 0:
        return True
    tensor = tensor.float() if tensor.element_size() == 1 else tensor  # few operations know 8-bit floats
    return bool(torch.isfinite(torch.stack(torch.aminmax(tensor))).all())


def _tensor_problem(value: object) -> str:
    if not isinstance(value, torch.Tensor):
        return f"is of type {type(value).__name__}, expected a tensor"
    if type(value) not in (torch.Tensor, torch.nn.Parameter):
        return f"is a {type(value).__name__}, expected a plain tensor"
    if value.layout is not torch.strided or value.is_quantized:
        return "is sparse or quantized, expected a dense tensor"
    if value.device.type != "cpu":
        return f"has no values (it lies on the device {value.device.type!r})"
    if value.is_complex():
        return "has complex values, expected real ones"
    if value.untyped_storage().nbytes() < value.numel() * value.element_size():
        return f"declares {value.numel()} values but stores fewer"
    return ""


def hash_tensors(tensors: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 over names, dtypes, shapes and bytes of tensors, in the order of their names.

    Parameters
    ----------
    tensors : mapping of str to torch.Tensor
        For example a state dict.

    Returns
    -------
    str
        64 hexadecimal digits; the identity of the weights wherever they are stored.
    """
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def build_network(
    config: UNetConfig,
    tensors: Mapping[str, torch.Tensor],
    file_name: str,
    rename: Callable[[str], str] = str,
) -> UNet:
    """Build a U-Net and load weights into it, strictly.

    The network takes no memory until names and shapes have been compared.

    Parameters
    ----------
    config : UNetConfig
        Architecture.
    tensors : mapping of str to torch.Tensor
        Weights under the names of the file.
    file_name : str
        For the message.
    rename : callable, optional
        Our name of a parameter → its name in the file.

    Returns
    -------
    UNet
        In evaluation mode, on the CPU, in float32.

    Raises
    ------
    CheckpointError
        If names or shapes differ, with the first five differences.
    """
    with torch.device("meta"):
        network = UNet(config)
    check_fit({rename(name): tensor for name, tensor in network.state_dict().items()}, tensors, file_name)
    network = network.to_empty(device="cpu")
    network.load_state_dict({name: tensors[rename(name)] for name in network.state_dict()}, strict=True)
    return network.eval()


def load_into(build: Callable[[], nn.Module], tensors: Mapping[str, torch.Tensor], file_name: str) -> nn.Module:
    """Build somebody else's network and load weights into it, strictly.

    Parameters
    ----------
    build : callable
        Returns the network; called twice, first without memory for weights.
    tensors : mapping of str to torch.Tensor
        Weights under the network's own names; one that it knows under several names may stand under any or all.
    file_name : str
        For the message.

    Returns
    -------
    torch.nn.Module
        In evaluation mode, on the CPU, in float32.

    Raises
    ------
    CheckpointError
        If names or shapes differ, or the network is too large.
    """
    with torch.device("meta"):
        empty = build()
    first = _first_names(empty)
    found = {first.get(name, name): tensor for name, tensor in tensors.items()}
    check_fit(once_each(empty), found, file_name)
    network = build().float()
    network.load_state_dict({name: found[first[name]] for name in network.state_dict()}, strict=True)
    return network.eval()


def once_each(network: nn.Module) -> dict[str, torch.Tensor]:
    """Return the state dict of a network without the second names of what it holds under several."""
    first = _first_names(network)
    return {name: tensor for name, tensor in network.state_dict().items() if first[name] == name}


def _first_names(network: nn.Module) -> dict[str, str]:
    """Return, for each name in the state dict, the first name of the same tensor."""
    found: dict[int, str] = {}
    return {name: found.setdefault(id(tensor), name) for name, tensor in network.state_dict(keep_vars=True).items()}


def check_fit(expected: Mapping[str, torch.Tensor], tensors: Mapping[str, torch.Tensor], file_name: str) -> None:
    """Compare names and shapes of a network with those of a file.

    Raises
    ------
    CheckpointError
        If they differ, with the first five differences, or if the network is too large.
    """
    if sum(tensor.numel() for tensor in expected.values()) > MAX_PARAMETERS:
        raise CheckpointError(
            f"{file_name} describes a network of more than {MAX_PARAMETERS} weights.", "Use a smaller network."
        )
    differences = _differences(expected, tensors)
    if differences:
        more = len(differences) - SHOWN_DIFFERENCES
        rest = f"; and {more} more" if more > 0 else ""
        raise CheckpointError(
            f"{file_name} does not fit the network: {'; '.join(differences[:SHOWN_DIFFERENCES])}{rest}.",
            "The file is damaged, or its network was changed; use the program that made it to save it again.",
        )


def _differences(expected: Mapping[str, torch.Tensor], found: Mapping[str, torch.Tensor]) -> list[str]:
    """Sentence parts: what is missing, of another shape or kind, or too much."""
    differences = []
    for name, tensor in expected.items():
        other = found.get(name)
        if other is None:
            differences.append(f"{name} is missing")
        elif other.shape != tensor.shape:
            differences.append(f"{name} has shape {tuple(other.shape)}, expected {tuple(tensor.shape)}")
        elif other.is_floating_point() != tensor.is_floating_point():
            differences.append(f"{name} has dtype {other.dtype}, expected {tensor.dtype}")
    differences.extend(f"{name} is not part of it" for name in found if name not in expected)
    return differences
