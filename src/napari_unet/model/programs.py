"""Checkpoints whose network is a program: from a file of its own, and from one of our files that holds one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from napari_unet.errors import CheckpointError
from napari_unet.image.normalize import Normalization
from napari_unet.model.answers import Answers, answered, read_answers
from napari_unet.model.checkpoint import Checkpoint
from napari_unet.model.coded import build_from_library, build_from_source
from napari_unet.model.exploring import explore
from napari_unet.model.fitting import Fitted, program_tensors
from napari_unet.model.header import CheckpointHeader, Output
from napari_unet.model.onnxnet import OnnxNetwork
from napari_unet.model.origin import Finding, Origin
from napari_unet.model.outputs import classes_finding, default_output
from napari_unet.model.program import TENSOR, Kind, Program
from napari_unet.model.scripted import load_script
from napari_unet.model.tensorfile import DAMAGED, MAX_FILE_BYTES, header_of, read_table
from napari_unet.model.weights import hash_tensors, screen_tensors

FAMILIES = {"torchscript": "TorchScript", "onnx": "ONNX"}


def open_program(path: Path, kind: Kind, given: Answers | None = None) -> Checkpoint:
    """Open a plain TorchScript or ONNX file.

    Parameters
    ----------
    path : Path
        The file.
    kind : {"torchscript", "onnx"}
        What it is.
    given : Answers, optional
        What was said about exactly this file; by default what is remembered beside it.

    Raises
    ------
    ConsentNeeded
        If it is TorchScript and nobody allowed it.
    CheckpointError
        If it cannot be run.
    """
    if path.stat().st_size > MAX_FILE_BYTES:
        raise CheckpointError(f"{path.name} has {path.stat().st_size} bytes, more than {MAX_FILE_BYTES}.", "")
    content = path.read_bytes()
    sha256 = hashlib.sha256(content).hexdigest()
    network = make_network(kind, content, sha256, path.name)
    found = explore(network, getattr(network, "shape", ()), path.name)
    output = default_output(found.out_channels)
    program = Program(kind, sha256, path.name, found.sizes)
    if found.activation == "none":
        output = replace(output, activation="none")
    header = CheckpointHeader(
        name=path.stem,
        config=None,
        normalization=Normalization(),
        output=output,
        provenance={"source": f"a plain {FAMILIES[kind]} file", "training": program.sentence},
        family=FAMILIES[kind],
        ndim=found.ndim,
        in_channels=found.in_channels,
        out_channels=found.out_channels,
        program=program,
        origin=Origin(FAMILIES[kind], findings=_assumed(output)),
    )
    answers = given or read_answers(path)
    if answers is not None and answers.axes not in ("", "ZYX"):
        raise CheckpointError(f"The axes of the program {path.name} cannot be turned.", "Leave them as they are.")
    if answers is not None:
        if answers.weights != sha256:
            raise CheckpointError(
                f"What was said about {path.name} was said about another file.",
                "Say it again with 'napari-unet inspect FILE --say …', or delete the .napari-unet.json file beside it.",
            )
        header = answered(header, answers)
    return with_program(network, header, content)


def _assumed(output: Output) -> tuple[Finding, ...]:
    """Return what is taken for granted about a program; that its values are scores was seen when it was tried."""
    activation = Finding("activation", output.activation, "weights" if output.activation == "none" else "assumed")
    found = (Finding("normalization", Normalization().sentence, "assumed"), activation)
    return (*found, classes_finding(output, "assumed")) if len(output.channels) > 1 else found


def make_network(
    kind: Kind, content: bytes, sha256: str, name: str, function: str = "", arguments: dict[str, object] | None = None
) -> nn.Module:
    """Let a program build its network; see the modules for each kind."""
    if kind == "torchscript":
        return load_script(content, sha256, name)
    if kind == "onnx":
        return OnnxNetwork(content, name)
    if kind == "python":
        return build_from_source(content, sha256, name, function, arguments or {})
    return build_from_library(content, sha256, name)


def with_program(network: nn.Module, header: CheckpointHeader, content: bytes) -> Checkpoint:
    """Return a checkpoint of a program's network, with the hash of its weights and program."""
    if header.program is None:
        raise CheckpointError(f"{header.name} has no program.", DAMAGED)
    fitted = Fitted(network, header.program, content).eval()
    return Checkpoint(fitted, replace(header, weights_hash=hash_tensors(program_tensors(fitted))))


def open_stored(path: Path) -> Checkpoint:
    """Open one of our own files that holds a program, with its weights.

    Raises
    ------
    ConsentNeeded
        If nobody allowed its code.
    CheckpointError
        If it is damaged, or program and weights do not fit.
    """
    table = read_table(path)
    header = CheckpointHeader.from_dict(header_of(path, table) or {})
    try:
        weights = screen_tensors(dict(load_file(path)), path.name)
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"{path.name} cannot be read: {error}.", DAMAGED) from error
    if hash_tensors(weights) != header.weights_hash:
        raise CheckpointError(f"{path.name} is damaged: its weights do not match their checksum.", DAMAGED)
    program, stored = header.program, weights.pop(TENSOR, None)
    if program is None or stored is None or stored.dtype != torch.uint8:
        raise CheckpointError(f"{path.name} does not contain its network.", DAMAGED)
    content = stored.numpy().tobytes()
    if hashlib.sha256(content).hexdigest() != program.sha256:
        raise CheckpointError(f"{path.name} is damaged: its program does not match its checksum.", DAMAGED)
    network = make_network(program.kind, content, program.sha256, header.name, program.function, program.arguments)
    load_weights(network, weights, path.name)
    return Checkpoint(Fitted(network, program, content).eval(), header)


def load_weights(network: nn.Module, weights: Mapping[str, torch.Tensor], name: str) -> None:
    """Load weights strictly, with a sentence where they do not fit."""
    try:
        network.load_state_dict(dict(weights), strict=True)
    except (RuntimeError, ValueError) as error:
        problem = " ".join(str(error).split())[:300]
        raise CheckpointError(f"The weights of {name} do not fit its network: {problem}.", DAMAGED) from error


def library_call(module: str, function: str, arguments: dict[str, object]) -> bytes:
    """Return the JSON text that stands for a call into a library, the same for the same call."""
    text = json.dumps({"module": module, "function": function, "arguments": arguments}, sort_keys=True)
    return text.encode()
