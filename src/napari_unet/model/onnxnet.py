"""ONNX graphs, run by onnxruntime: they segment, but do not train."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import torch
from torch import nn

from napari_unet.errors import CheckpointError, first_line
from napari_unet.model.tensorfile import DAMAGED

MISSING = 'Install it with: python -m pip install "napari-unet-interactive[onnx]".'
FLOAT = "tensor(float)"


class OnnxNetwork(nn.Module):
    """An ONNX graph with one image as input.

    Parameters
    ----------
    content : bytes
        Of the file; a graph that keeps its weights in other files is refused.
    name : str
        For messages.

    Raises
    ------
    CheckpointError
        If onnxruntime is missing, the graph cannot be read, or it takes something else than one float image.
    """

    def __init__(self, content: bytes, name: str) -> None:
        super().__init__()
        check_onnx(content, name)
        runtime = _library("onnxruntime", name)
        options = runtime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 4  # errors are raised, too
        try:
            self._session: Any = runtime.InferenceSession(
                content, options, providers=["CPUExecutionProvider"], enable_fallback=0
            )
        # onnxruntime's errors share no base class of their own.
        except Exception as error:
            raise CheckpointError(f"{name} cannot be loaded by onnxruntime: {first_line(error)}.", DAMAGED) from error
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        if len(inputs) != 1 or inputs[0].type != FLOAT or len(inputs[0].shape) not in (4, 5) or not outputs:
            raise CheckpointError(
                f"{name} takes {[(i.name, i.type, i.shape) for i in inputs]!r:.200}; expected one image of floats.",
                "Export the network again with one float32 input (N, C, [Z], Y, X).",
            )
        self._input, self._output = inputs[0].name, outputs[0].name
        self.shape: tuple[int | None, ...] = tuple(n if isinstance(n, int) else None for n in inputs[0].shape)
        self.first = len(outputs) > 1

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Run the graph on the CPU; of several outputs the first one counts."""
        batch = x.detach().float().cpu().numpy()
        parts = [batch] if self.shape[0] is None else np.split(batch, len(batch) // self.shape[0])
        found = [self._session.run([self._output], {self._input: np.ascontiguousarray(part)})[0] for part in parts]
        return torch.from_numpy(np.concatenate(found)).to(x.device)

    def __deepcopy__(self, memo: dict[int, Any]) -> OnnxNetwork:
        return self  # it holds nothing that changes


def check_onnx(content: bytes, name: str) -> None:
    """Check that a graph is whole and keeps all of its weights inside.

    Raises
    ------
    CheckpointError
        If it is damaged, refers to other files, or the library onnx is missing.
    """
    onnx = _library("onnx", name)
    try:
        model = onnx.load_model_from_string(content)
    except Exception as error:  # protobuf's errors
        raise CheckpointError(f"{name} is no ONNX graph: {first_line(error)}.", DAMAGED) from error
    graphs = [model.graph]
    while graphs:
        graph = graphs.pop()
        tensors = list(graph.initializer)
        for node in graph.node:
            for attribute in node.attribute:
                graphs.extend([attribute.g, *attribute.graphs] if attribute.HasField("g") else attribute.graphs)
                tensors.extend([attribute.t, *attribute.tensors])
        if any(tensor.external_data or tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in tensors):
            raise CheckpointError(
                f"{name} keeps its weights in another file.", "Save it again as one file: onnx.save(model, 'one.onnx')."
            )
    if not graphs and not len(model.graph.node):
        raise CheckpointError(f"{name} is no ONNX graph: it has no layers.", DAMAGED)


def _library(library: str, name: str) -> Any:
    try:
        return importlib.import_module(library)
    except ImportError as error:
        raise CheckpointError(f"{name} is an ONNX file, which needs the library {library}.", MISSING) from error
