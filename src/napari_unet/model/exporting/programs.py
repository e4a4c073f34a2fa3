"""A network as TorchScript and as ONNX: activation included, any legal size, compared with the original."""

from __future__ import annotations

import importlib
import io
import warnings
from typing import Any

import torch
from torch import nn

from napari_unet.errors import CheckpointError, OutputError
from napari_unet.model.checkpoint import Checkpoint
from napari_unet.model.onnxnet import MISSING, OnnxNetwork

OPSET = 17
TOLERANCE = 1e-4  # of max(1, largest score) in float32, on sizes that the program was not made with


class Scores(nn.Module):
    """A network with its activation.

    Parameters
    ----------
    network : torch.nn.Module
        Gives logits or scores.
    activation : {"sigmoid", "softmax", "none"}
        What makes scores of them.
    """

    def __init__(self, network: nn.Module, activation: str) -> None:
        super().__init__()
        self.network = network
        self.activation = activation

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map normalized images (N, C, [Z], Y, X) to scores."""
        y: torch.Tensor = self.network(x)
        if self.activation == "softmax":
            return torch.softmax(y, dim=1)
        return torch.sigmoid(y) if self.activation == "sigmoid" else y


def scores_of(checkpoint: Checkpoint) -> Scores:
    """Return a checkpoint's network with its activation, on the CPU, in float32 and evaluation mode."""
    header = checkpoint.header
    if header.program is not None:
        raise OutputError(
            f"{header.name} comes as {header.program.kind}; its file is that program already.",
            "Hand on the file that it came from, or our own .safetensors file.",
        )
    copied = checkpoint.copy()
    return Scores(copied.network.float().cpu().eval(), header.output.activation).eval()


def legal_sizes(checkpoint: Checkpoint, at_least: int = 0) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return two small legal input sizes, to make a program with and to check it on."""
    divisor = checkpoint.geometry.divisor
    least = at_least or (32 if checkpoint.header.ndim == 2 else 8)
    first = tuple(step * max(2, -(-least // step)) for step in divisor)
    return first, tuple(
        length + step * (1 + n % 2) for n, (length, step) in enumerate(zip(first, divisor, strict=True))
    )


def torchscript_bytes(checkpoint: Checkpoint) -> bytes:
    """Return a checkpoint's network as TorchScript.

    Raises
    ------
    OutputError
        If it gives other scores than the network, on a size that it was not made with.
    """
    scores = scores_of(checkpoint)
    first, second = legal_sizes(checkpoint)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # tracing warns of the checks of sizes, and of itself
        try:
            traced: Any = torch.jit.trace(  # type: ignore[no-untyped-call]
                scores, _noise(checkpoint, first), check_trace=False
            )
        # Somebody's network may do anything in Python that a trace cannot follow.
        except Exception as error:
            raise OutputError(f"{checkpoint.header.name} cannot be traced: {error}.", _OTHER) from error
        _compare(checkpoint, scores, traced, second, "TorchScript")
        stream = io.BytesIO()
        torch.jit.save(traced, stream)
    return stream.getvalue()


def onnx_bytes(checkpoint: Checkpoint) -> bytes:
    """Return a checkpoint's network as ONNX, with free batch and spatial sizes.

    Raises
    ------
    OutputError
        If onnx or onnxruntime is missing, the network uses something that ONNX lacks, or the scores differ.
    """
    for library in ("onnx", "onnxruntime"):
        try:
            importlib.import_module(library)
        except ImportError as error:
            raise OutputError(f"Writing ONNX needs the library {library}.", MISSING) from error
    scores = scores_of(checkpoint)
    first, second = legal_sizes(checkpoint)
    axes = {0: "batch", **{n + 2: name for n, name in enumerate("zyx"[3 - checkpoint.header.ndim :])}}
    stream: Any = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        try:
            torch.onnx.export(
                scores,
                (_noise(checkpoint, first),),
                stream,
                input_names=["image"],
                output_names=["scores"],
                opset_version=OPSET,
                dynamic_axes={"image": axes, "scores": axes},
                dynamo=False,
            )
        # The exporter's errors share no base class; what they say goes to the user.
        except Exception as error:
            raise OutputError(f"{checkpoint.header.name} cannot be written as ONNX: {error}.", _OTHER) from error
        content = stream.getvalue()
        try:
            _compare(checkpoint, scores, OnnxNetwork(content, "the ONNX graph"), second, "ONNX")
        except CheckpointError as error:
            raise OutputError(error.message, _OTHER) from error
    return bytes(content)


_OTHER = "Choose another format: our own .safetensors file keeps every model."


def _noise(checkpoint: Checkpoint, size: tuple[int, ...]) -> torch.Tensor:
    shape = (1, checkpoint.header.in_channels, *size)
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


def _compare(checkpoint: Checkpoint, scores: nn.Module, program: Any, size: tuple[int, ...], kind: str) -> None:
    image = _noise(checkpoint, size)
    expected, found = scores(image), program(image)
    differs = float((expected - found).abs().max()) if expected.shape == found.shape else float("inf")
    if differs > TOLERANCE * max(1.0, float(expected.abs().max())):
        raise OutputError(
            f"{checkpoint.header.name} gives other scores as {kind}: the largest difference is {differs:.2g}.", _OTHER
        )
