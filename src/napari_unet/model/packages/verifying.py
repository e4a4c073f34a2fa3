"""A package's test tensors, reproduced: the proof that it was understood."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from napari_unet.errors import CheckpointError
from napari_unet.image.normalize import apply, measure
from napari_unet.image.source import ImageSource
from napari_unet.model.checkpoint import Checkpoint
from napari_unet.model.packages.archive import Package
from napari_unet.model.packages.description import Description

MAX_TEST_BYTES = 512 * 2**20
TOLERANCE = 1e-4  # of max(1, largest value): what counts as reproduced


def read_test(package: Package, source: str | None) -> npt.NDArray[np.float32] | None:
    """Read a test tensor; None if the package has none.

    Raises
    ------
    CheckpointError
        If it is damaged, or holds something else than numbers.
    """
    if source is None or not package.has(source):
        return None
    content = package.read(source, MAX_TEST_BYTES)
    try:
        stream = io.BytesIO(content)
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(stream)
        if dtype.kind not in "fiub" or int(np.prod(shape, dtype=object)) * dtype.itemsize > len(content):
            raise ValueError(f"it declares {shape} of {dtype}")
        stream.seek(0)
        values: npt.NDArray[np.float32] = np.load(stream, allow_pickle=False).astype(np.float32)
        return values
    except (ValueError, EOFError, OSError, TypeError, SyntaxError) as error:
        raise CheckpointError(f"The test values {source} of {package.name} cannot be read: {error}.", "") from error


def network_output(checkpoint: Checkpoint, values: npt.NDArray[np.float32]) -> torch.Tensor:
    """Return what the network gives for test values (N, C, [Z], Y, X), normalized as an image would be.

    Where a program returns less than it is given, the margin that we add around it is left out.
    """
    header = checkpoint.header
    parts = []
    for one in values:
        source = ImageSource(one, header.axes, "test values")
        parts.append(apply(one, measure(source, header.normalization), header.normalization))
    with torch.inference_mode():
        output: torch.Tensor = checkpoint.network(torch.from_numpy(np.stack(parts)))
    if header.program is None:
        return output
    margins = zip(header.program.sizes.crop, output.shape[2:], strict=True)
    return output[(slice(None), slice(None), *(slice(crop, length - crop) for crop, length in margins))]


def activated(output: torch.Tensor, activation: str) -> npt.NDArray[np.float32]:
    """Return scores (N, C, …)."""
    if activation == "softmax":
        output = torch.softmax(output, 1)
    elif activation == "sigmoid":
        output = torch.sigmoid(output)
    result: npt.NDArray[np.float32] = output.numpy()
    return result


def difference(found: npt.NDArray[Any], expected: npt.NDArray[Any]) -> float:
    """Return the largest difference over max(1, largest expected value); infinite for other shapes."""
    if found.shape != expected.shape:
        return float("inf")
    return float(np.abs(found - expected).max() / max(1.0, float(np.abs(expected).max())))


def proof_tensors(
    package: Package, description: Description
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]] | None:
    """Return the test input and output, if the package has both."""
    given = read_test(package, description.inputs[0].test)
    expected = read_test(package, description.outputs[0].test)
    return None if given is None or expected is None else (given, expected)
