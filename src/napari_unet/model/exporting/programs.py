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
from napari_unet.model.fitting import Fitted, pointwise
from napari_unet.model.onnxnet import MISSING, OnnxNetwork
from napari_unet.model.program import Program
from napari_unet.model.scripted import Scripted

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
    network = checkpoint.copy().network
    if header.program is not None:
        network = _inside(network, header.program)
    return Scores(network.float().cpu().eval(), header.output.activation).eval()


class Around(nn.Module):
    """A network with the fixed steps that its package does before and after it."""

    def __init__(self, network: nn.Module, program: Program) -> None:
        super().__init__()
        self.network, self.program = network, program

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map images of a legal size to scores or logits."""
        for step in self.program.before:
            x = pointwise(x, step)
        y: torch.Tensor = self.network(x)
        for step in self.program.after:
            y = pointwise(y, step)
        return y


def _inside(network: nn.Module, program: Program) -> nn.Module:
    """Return the network of a program without what makes it take any size."""
    if program.kind == "onnx" or any(program.sizes.crop) or not isinstance(network, Fitted):
        why = "is an ONNX graph" if program.kind == "onnx" else "returns less than it is given"
        raise OutputError(
            f"The network {why}: it cannot be written in another form.",
            "Hand on the file that it came from, or our own .safetensors file.",
        )
    inner = network.network
    return Around(inner.script if isinstance(inner, Scripted) else inner, program)


def legal_of(checkpoint: Checkpoint) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the smallest legal input and the steps by which it may grow, 0 where the size is fixed."""
    if checkpoint.header.program is not None:
        return checkpoint.header.program.sizes.minimum, checkpoint.header.program.sizes.step
    divisor = checkpoint.geometry.divisor
    return tuple(2 * step for step in divisor), divisor


def legal_near(checkpoint: Checkpoint, wanted: tuple[int, ...]) -> tuple[int, ...]:
    """Return the largest legal input that is no larger than `wanted`, or the smallest one."""
    least, steps = legal_of(checkpoint)
    grown = zip(least, steps, wanted, strict=True)
    return tuple(low + (max(0, most - low) // step * step if step else 0) for low, step, most in grown)


def legal_sizes(checkpoint: Checkpoint) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return two small legal input sizes, to make a program with and to check it on."""
    ndim = checkpoint.header.ndim
    first = legal_near(checkpoint, (40,) * 2 if ndim == 2 else (12,) * 3)
    steps = legal_of(checkpoint)[1]
    return first, tuple(length + step * (1 + n % 2) for n, (length, step) in enumerate(zip(first, steps, strict=True)))


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
