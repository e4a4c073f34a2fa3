"""A bioimage.io package to a checkpoint: description understood, network built, test values reproduced."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt
import torch

from napari_unet.errors import CheckpointError
from napari_unet.model.checkpoint import Checkpoint
from napari_unet.model.exploring import lacking
from napari_unet.model.origin import Finding, Origin
from napari_unet.model.packages.archive import Package
from napari_unet.model.packages.choosing import run_program
from napari_unet.model.packages.description import Description, read_description, understood
from napari_unet.model.packages.known import known_network, own_header_of
from napari_unet.model.packages.meaning import Activation, meaning_of
from napari_unet.model.packages.processing import After, Before, postprocessing, preprocessing
from napari_unet.model.packages.verifying import TOLERANCE, activated, difference, network_output, proof_tensors
from napari_unet.model.packages.yamltext import MAX_BYTES, read_yaml


def open_package(path: Path) -> Checkpoint:
    """Open a bioimage.io package, version 0.4 or 0.5: a zip, a folder, or the description in a folder.

    Raises
    ------
    ConsentNeeded
        If all of its weights need code that nobody allowed.
    CheckpointError
        If it is damaged, cannot be understood, or does not reproduce its test values.
    """
    with Package(path) as package:
        values = read_yaml(package.read_description(MAX_BYTES), package.label)
        description = read_description(values, package.label)
        _check_scope(description, package)
        with understood(package.label):
            before = preprocessing(description.inputs[0], package.label)
            after = postprocessing(description.outputs[0], package.label)
        reasons: list[str] = []
        opened = None
        if not before.steps and not after.steps:
            opened = known_network(package, description, reasons)
        if opened is None:
            opened = run_program(package, description, before, after, reasons)
        return _described(opened, package, description, before, after)


def _check_scope(description: Description, package: Package) -> None:
    """Refuse what one image in and one out cannot express."""
    if len(description.inputs) != 1:
        raise CheckpointError(
            f"{package.name} takes {len(description.inputs)} inputs, expected one image.", "It cannot be used here."
        )
    for tensor in (description.inputs[0], description.outputs[0]):
        if tensor.letters not in ("bcyx", "bczyx"):
            raise CheckpointError(
                f"{package.name} has a tensor with the axes {tensor.letters!r}, expected bcyx or bczyx.",
                "It cannot be used here.",
            )


def _described(
    checkpoint: Checkpoint, package: Package, description: Description, before: Before, after: After
) -> Checkpoint:
    """Give a network what its package says: name, normalization, meaning, voxel size; and prove it."""
    tests = proof_tensors(package, description)
    header = replace(checkpoint.header, normalization=before.normalization)
    checkpoint = Checkpoint(checkpoint.network, header)
    activation, proof = after.activation, "The package has no test values to be compared with."
    if tests is not None:
        activation, proof = _proved(checkpoint, tests, after, package)
    own = own_header_of(description)
    if own is not None and own.weights_hash == header.weights_hash:
        return Checkpoint(checkpoint.network, own)  # what was packed here comes back as it was
    output, said = meaning_of(description.outputs[0], header.out_channels, activation)
    space = [axis.size_um for axis in description.inputs[0].space]
    notes = {
        "package": f"bioimage.io {description.version}",
        **{f"package_{key}": value for key, value in description.about.items()},
        "checked": proof,
        "understood": [*after.notes, *said, *([header.program.sentence] if header.program else [])],
    }
    header = replace(
        header,
        name=description.name,
        output=output,
        origin=_stated(header.origin),
        voxel_size=None if None in space else tuple(float(size) for size in space if size is not None),
        provenance={**header.provenance, **notes},
    )
    return Checkpoint(checkpoint.network, header)


def _stated(origin: Origin | None) -> Origin | None:
    """Return the origin without what a family assumed and the package states."""
    if origin is None:
        return None
    kept = (one for one in origin.findings if one.what not in ("normalization", "activation", "channels"))
    said = Finding("normalization", "by the package's description", "file")
    return replace(origin, findings=(*kept, said))


def _proved(
    checkpoint: Checkpoint,
    tests: tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]],
    after: After,
    package: Package,
) -> tuple[str, str]:
    """Reproduce the test values; return the activation that our engine must apply, and a sentence.

    A network of ours leaves out an activation that the package's own applies inside.
    """
    given, expected = tests
    output = network_output(checkpoint, given)
    tried = {}
    for activation in dict.fromkeys((after.activation, "none", "sigmoid", "softmax")):
        tried[activation] = difference(activated(output, activation), expected)
        if tried[activation] <= TOLERANCE:
            said = f"Its test values are reproduced: the largest difference is {tried[activation]:.1e}."
            return _usable(activation, expected), said
    raise CheckpointError(
        f"{package.name} does not reproduce its test values: the smallest difference is {min(tried.values()):.2g}.",
        "Its description and its weights do not belong together, or it needs something that is not known here.",
    )


def _usable(activation: str, expected: npt.NDArray[np.float32]) -> Activation:
    """Return what makes scores of an output that the package itself leaves as it is."""
    if activation != "none" or (expected.min() >= -0.5 and expected.max() <= 1.5):
        return cast(Activation, activation)
    return cast(Activation, lacking(torch.from_numpy(expected)))
