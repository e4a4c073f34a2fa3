"""Foreign files: recognized by content, never by name; opened only where no code can run.

This is the one place that calls `torch.load`, always with ``weights_only=True``.
"""

from __future__ import annotations

import pickle
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from napari_unet.errors import CheckpointError, first_line
from napari_unet.model.allowed import allowed_globals, plain
from napari_unet.model.sniffing import sniff
from napari_unet.model.tensorfile import DAMAGED, HEADER_KEY, MAX_TENSORS, read_table
from napari_unet.model.weights import STATE_DICT, screen_tensors
from napari_unet.model.zips import check_zip

CONTAINERS = ("state_dict", "model_state_dict", "model_state", "network_weights", "model", "net", "ema")
PREFIXES = ("module.", "model.", "net.", "_orig_mod.")
MAX_NESTING = 4
NOT_WEIGHTS = frozenset({"mask_values"})  # what training scripts put between the weights
# What training keeps beside the weights to go on; large, and of no use for another program.
NOT_KEPT = ("optim", "sched", "scaler", "loops", "callbacks", "logging", "history")

# What reading a hostile pickle can raise. (UnpicklingError, which torch raises for code, is caught before.)
READ_ERRORS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,  # also RecursionError
    TypeError,
    ValueError,
    struct.error,  # an opcode of the pickle is cut off
)


@dataclass(frozen=True)
class Weights:
    """What a file held.

    Parameters
    ----------
    path : Path
        The file, or the folder that was opened.
    tensors : mapping of str to torch.Tensor
        Flat, unwrapped from its container, finite.
    metadata : mapping of str to str
        The text metadata of a .safetensors file; empty for others.
    container : tuple of str
        Keys that led to the tensors.
    prefix : str
        What stood before every name and was taken off.
    beside : dict
        Plain values beside the tensors.
    documents : dict
        JSON documents beside the file, see `napari_unet.model.folders`.
    file : str
        Where the file lies in the folder that was opened; empty for a file.
    """

    path: Path
    tensors: Mapping[str, torch.Tensor]
    metadata: Mapping[str, str] = field(default_factory=dict)
    container: tuple[str, ...] = ()
    prefix: str = ""
    beside: dict[str, Any] = field(default_factory=dict)
    documents: dict[str, Any] = field(default_factory=dict)
    file: str = ""

    @property
    def told(self) -> dict[str, Any]:
        """Arguments of the network's constructor that a package or the user states."""
        architecture = self.documents.get("architecture")
        arguments = architecture.get("kwargs") if isinstance(architecture, dict) else None
        return dict(arguments) if isinstance(arguments, dict) else {}

    def below(self, prefix: str) -> Weights:
        """Return the part of the tensors whose names begin with a prefix, without it."""
        inner = {name[len(prefix) :]: tensor for name, tensor in self.tensors.items() if name.startswith(prefix)}
        return replace(self, tensors=inner, prefix=self.prefix + prefix)

    def above(self, prefix: str) -> Weights:
        """Put back a prefix that belongs to the network's own names."""
        inner = {prefix + name: tensor for name, tensor in self.tensors.items()}
        return replace(self, tensors=inner, prefix=self.prefix.removesuffix(prefix))


def read_weights(path: Path) -> Weights:
    """Read the tensors of a checkpoint file, whoever wrote it.

    Parameters
    ----------
    path : Path
        A file.

    Returns
    -------
    Weights
        Unwrapped from its container, without common prefixes.

    Raises
    ------
    CheckpointError
        If the file is no checkpoint, contains code, is damaged, or holds something else than weights.
    """
    if sniff(path) == "safetensors":
        table = read_table(path)
        try:
            loaded = load_file(path)
        except (SafetensorError, OSError, ValueError, RuntimeError) as error:
            raise CheckpointError(f"{path.name} cannot be read: {first_line(error)}.", DAMAGED) from error
        tensors = screen_tensors(dict(loaded), path.name)
        prefix = "" if table.metadata.get(HEADER_KEY) else _common_prefix(tensors)
        return Weights(path, tensors, table.metadata).below(prefix)
    _check_zip(path)
    values, container, beside = _unwrap(_load_pickle(path), path.name)
    weights = Weights(path, screen_tensors(values, path.name), container=container, beside=beside)
    return weights.below(_common_prefix(weights.tensors))


def _check_zip(path: Path) -> None:
    """Check the archive: uncompressed, no member twice, checksums right, and written by `torch.save`."""
    name = path.name

    def check(members: list[zipfile.ZipInfo]) -> None:
        _check_members(name, [member.filename for member in members])
        if any(member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1 for member in members):
            raise CheckpointError(f"{name} has compressed or encrypted parts; torch writes none.", STATE_DICT)
        if sum(member.file_size for member in members) > path.stat().st_size:
            raise CheckpointError(f"{name} declares more bytes than it has.", DAMAGED)

    check_zip(path, name, check)


def _check_members(name: str, names: list[str]) -> None:
    if len(names) > 2 * MAX_TENSORS or len(set(names)) != len(names):
        raise CheckpointError(f"{name} has too many parts, or the same part twice.", STATE_DICT)
    inner = {member.partition("/")[2] or member for member in names}
    if {"rdf.yaml", "bioimageio.yaml"} & {*inner, *names}:
        raise CheckpointError(
            f"{name} is a bioimage.io package, not a bare checkpoint.", "Unpack it and open the weights inside."
        )
    if "archive_format" in inner or any(member.endswith("serialized_exported_program.json") for member in inner):
        raise CheckpointError(f"{name} is a program exported by torch (.pt2), which contains code.", STATE_DICT)
    if "constants.pkl" in inner or any(member.startswith("code/") for member in inner):
        raise CheckpointError(f"{name} is a TorchScript program, which contains code; it was not opened.", STATE_DICT)
    if sum(member.rpartition("/")[2] == "data.pkl" for member in names) != 1:
        raise CheckpointError(f"{name} is an archive, but not one that torch.save wrote.", STATE_DICT)


def _load_pickle(path: Path) -> object:
    try:
        with torch.serialization.safe_globals(allowed_globals(_unknown_globals(path))):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path.name} contains code or objects besides weights{_offenders(path)}; nothing of it was run.",
            f"If it is a whole saved network: open it where it was made. {STATE_DICT}",
        ) from error
    except READ_ERRORS as error:
        raise CheckpointError(f"{path.name} cannot be read: {first_line(error)}.", DAMAGED) from error


def _unknown_globals(path: Path) -> list[str]:
    """Return names of functions and classes in the file that torch does not know, found without running it."""
    return sorted(torch.serialization.get_unsafe_globals_in_checkpoint(path))


def _offenders(path: Path) -> str:
    """Names of the first functions or classes that the file refers to, found without running it."""
    try:
        found = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except (pickle.UnpicklingError, *READ_ERRORS) as error:
        return f" ({type(error).__name__})"
    return f" ({', '.join(sorted(found)[:3])})" if found else ""


def _unwrap(content: object, name: str) -> tuple[dict[object, object], tuple[str, ...], dict[str, Any]]:
    """Follow the usual containers down to the mapping that holds the tensors; return how, and what is beside."""
    container: list[str] = []
    beside: dict[str, Any] = {}
    for _ in range(MAX_NESTING):
        if not isinstance(content, dict):
            break
        found = next((key for key in CONTAINERS if isinstance(content.get(key), dict)), None)
        if found is None:
            return {key: value for key, value in content.items() if key not in NOT_WEIGHTS}, tuple(container), beside
        others = {key: value for key, value in content.items() if key != found and isinstance(key, str)}
        kept = {key: value for key, value in others.items() if not any(part in key.lower() for part in NOT_KEPT)}
        beside = {**plain(kept), **beside}
        container.append(found)
        content = content[found]
    raise CheckpointError(
        f"{name} holds a {type(content).__name__}, expected a mapping from parameter names to tensors.", STATE_DICT
    )


def _common_prefix(values: Mapping[str, object]) -> str:
    """Return what wrappers put before every name."""
    common = ""
    for _ in range(MAX_NESTING):
        for prefix in PREFIXES:
            if values and all(key.startswith(common + prefix) for key in values):
                common += prefix
                break
        else:
            break
    return common
