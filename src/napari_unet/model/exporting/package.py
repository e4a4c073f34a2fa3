"""A checkpoint as a bioimage.io package: weights in several forms, description, test values, picture, text."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import zipfile
from collections.abc import Callable
from typing import Any

import torch
import yaml

from napari_unet.errors import OutputError
from napari_unet.image.source import ImageSource
from napari_unet.model.checkpoint import Checkpoint
from napari_unet.model.exporting.about import About
from napari_unet.model.exporting.architecture import FILE, FUNCTION, architecture_source
from napari_unet.model.exporting.description import describe
from napari_unet.model.exporting.documentation import documentation
from napari_unet.model.exporting.programs import OPSET, legal_of, onnx_bytes, torchscript_bytes
from napari_unet.model.exporting.sample import Sample, make_sample, npy_bytes

DATE = (1980, 1, 1, 0, 0, 0)  # of the files in the zip: the same model gives the same bytes


def package_bytes(
    checkpoint: Checkpoint,
    example: ImageSource,
    about: About,
    *,
    fixed: bool = True,
    progress: Callable[[str], None] = lambda step: None,
) -> tuple[bytes, tuple[str, ...]]:
    """Return a checkpoint as the bytes of a bioimage.io package, format 0.5.

    Parameters
    ----------
    checkpoint : Checkpoint
        The model.
    example : ImageSource
        An image of the kind that the model is for: test values and cover are taken from it.
    about : About
        Authors, licence, references.
    fixed : bool
        Normalize each tile by the intensities of the example, instead of measuring each image. Programs that
        measure each tile on its own then agree with ours.
    progress : callable, optional
        Told what is being written.

    Returns
    -------
    bytes
        A zip.
    tuple of str
        What the user should know, as sentences.

    Raises
    ------
    OutputError
        If the model cannot be handed on so, or the example does not fit it.
    """
    header = checkpoint.header
    progress("test values")
    sample = make_sample(checkpoint, example, fixed)
    files: dict[str, bytes] = {
        "test_input.npy": npy_bytes(sample.given),
        "test_output.npy": npy_bytes(sample.expected),
        "cover.png": sample.cover,
    }
    weights, notes = _weights(checkpoint, files, progress)
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    steps = legal_of(checkpoint)[1]
    described = describe(header, about, sample.normalization, steps, sample.minimum, sample.halo, weights, hashes)
    notes = (*_notes(checkpoint, sample, fixed), *notes)
    files["documentation.md"] = documentation(header, about, notes).encode()
    files["rdf.yaml"] = yaml.safe_dump(described, sort_keys=False, allow_unicode=True, width=120).encode()
    return _zipped(files), notes


def _weights(
    checkpoint: Checkpoint, files: dict[str, bytes], progress: Callable[[str], None]
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Add the weights to the files; return what the description says of them, and what is missing."""
    header, version = checkpoint.header, torch.__version__.partition("+")[0]
    weights: dict[str, Any] = {}
    notes = []
    if header.config is not None:
        progress("state dict")
        stream = io.BytesIO()
        torch.save({name: tensor.detach().cpu() for name, tensor in checkpoint.network.state_dict().items()}, stream)
        files["weights.pt"], files[FILE] = stream.getvalue(), architecture_source().encode()
        weights["pytorch_state_dict"] = {
            **_file(files, "weights.pt"),
            "architecture": {
                **_file(files, FILE),
                "callable": FUNCTION,
                "kwargs": {**_plain(header.config.to_dict()), "final_activation": header.output.activation},
            },
            "pytorch_version": version,
        }
    else:
        notes.append("The network is none of ours: it is handed on as TorchScript, without its code in Python.")
    parent = {"parent": "pytorch_state_dict"} if weights else {}
    progress("TorchScript")
    files["weights.torchscript.pt"] = torchscript_bytes(checkpoint)
    weights["torchscript"] = {**_file(files, "weights.torchscript.pt"), **parent, "pytorch_version": version}
    if all(importlib.util.find_spec(library) for library in ("onnx", "onnxruntime")):
        progress("ONNX")
        try:
            files["weights.onnx"] = onnx_bytes(checkpoint)
        except OutputError as error:
            notes.append(f"There are no ONNX weights: {error.message}")
        else:
            source = parent or {"parent": "torchscript"}
            weights["onnx"] = {**_file(files, "weights.onnx"), **source, "opset_version": OPSET}
    else:
        notes.append("There are no ONNX weights: the libraries onnx and onnxruntime are not installed.")
    return weights, tuple(notes)


def _notes(checkpoint: Checkpoint, sample: Sample, fixed: bool) -> tuple[str, ...]:
    notes = []
    if sample.normalization != checkpoint.header.normalization:
        notes.append(
            "Intensities are normalized by those of the example image, the same in every tile; images of another "
            "exposure or staining need the normalization that measures each image."
        )
    elif sample.normalization.method in ("percentile", "zscore"):
        notes.append("Each image is measured to be normalized: programs that measure each tile give other scores.")
    if sample.halo != checkpoint.geometry.halo:
        notes.append(
            f"The halo is {sample.halo}, as large as the example allows; the network sees {checkpoint.geometry.halo}."
        )
    return tuple(notes)


def _file(files: dict[str, bytes], name: str) -> dict[str, str]:
    return {"source": name, "sha256": hashlib.sha256(files[name]).hexdigest()}


def _plain(values: Any) -> Any:
    """Return tuples as lists, which YAML has."""
    if isinstance(values, dict):
        return {key: _plain(value) for key, value in values.items()}
    return [_plain(value) for value in values] if isinstance(values, list | tuple) else values


def _zipped(files: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name in sorted(files, key=lambda name: name != "rdf.yaml"):
            packed = zipfile.ZIP_STORED if name.startswith("weights") else zipfile.ZIP_DEFLATED
            info = zipfile.ZipInfo(name, DATE)
            info.compress_type = packed
            info.external_attr = 0o644 << 16
            archive.writestr(info, files[name])
    return stream.getvalue()
