"""The state dict of a package whose network is a known family: built by our own code, without the package's."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

from napari_unet.errors import CheckpointError
from napari_unet.model.checkpoint import Checkpoint
from napari_unet.model.families import build_checkpoint
from napari_unet.model.header import CheckpointHeader
from napari_unet.model.packages.archive import Package, checked_hash
from napari_unet.model.packages.description import Description, WeightsInfo
from napari_unet.model.reading import Weights, read_weights
from napari_unet.model.weights import build_network, hash_tensors


def known_network(package: Package, description: Description, reasons: list[str]) -> Checkpoint | None:
    """Build the network of a package's state dict if a family knows it.

    Parameters
    ----------
    package : Package
        The files.
    description : Description
        What they say.
    reasons : list of str
        Gets a sentence part if there is no such network.
    """
    info = description.weights.get("pytorch_state_dict")
    if info is None:
        return None
    if not package.has(info.source):
        reasons.append(f"the state dict {info.source} is not part of it")
        return None
    weights = read_state(package, info)
    try:
        own = own_header_of(description)
        if own is not None and own.config is not None:
            network = build_network(own.config, weights.tensors, package.name)
            return Checkpoint(network, replace(own, weights_hash=hash_tensors(network.state_dict())))
        checkpoint = build_checkpoint(weights)
    except CheckpointError as error:
        reasons.append(error.message.rstrip("."))
        return None
    expected = description.inputs[0]
    if checkpoint.header.ndim != len(expected.space):
        reasons.append(f"its weights are those of a {checkpoint.header.ndim}D network")
        return None
    said = {**checkpoint.header.provenance, "weights": "pytorch_state_dict, by its own names and shapes"}
    return Checkpoint(checkpoint.network, replace(checkpoint.header, provenance=said))


def own_header_of(description: Description) -> CheckpointHeader | None:
    """Return the header of a model that this program packed; None for others.

    Raises
    ------
    CheckpointError
        If it is out of bounds.
    """
    header = description.own.get("header")
    return CheckpointHeader.from_dict(header) if isinstance(header, dict) else None


def read_state(package: Package, info: WeightsInfo) -> Weights:
    """Read a state dict out of a package, screened like any other file.

    Raises
    ------
    CheckpointError
        If it is damaged or holds something else than weights.
    """
    content = package.read(info.source)
    checked_hash(content, info.sha256, info.source)
    with tempfile.TemporaryDirectory(prefix="napari-unet-") as folder:
        path = Path(folder) / Path(info.source).name
        path.write_bytes(content)
        weights = read_weights(path)
    architecture = {"callable": info.function, "kwargs": info.arguments}
    return replace(weights, path=package.path, documents={**weights.documents, "architecture": architecture})
