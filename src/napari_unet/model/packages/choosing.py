"""Which of a package's weights to run, when its network must be built by code that it brings."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Literal, cast

from napari_unet.errors import CheckpointError, ConsentNeeded
from napari_unet.model.checkpoint import Checkpoint
from napari_unet.model.consent import need_consent, refused
from napari_unet.model.exploring import measured_halo
from napari_unet.model.header import CheckpointHeader
from napari_unet.model.packages.archive import Package, checked_hash
from napari_unet.model.packages.description import ADVICE, Description, WeightsInfo
from napari_unet.model.packages.known import read_state
from napari_unet.model.packages.meaning import meaning_of
from napari_unet.model.packages.processing import After, Before
from napari_unet.model.packages.sizes import sizes_of
from napari_unet.model.packages.verifying import proof_tensors
from napari_unet.model.program import Kind, Program
from napari_unet.model.programs import library_call, load_weights, make_network, with_program

MAX_CODE = 2**20
ORDER = ("torchscript", "python", "library", "onnx")  # what can be trained, and needs the least trust, first


@dataclass(frozen=True)
class Choice:
    """One of the package's weights that needs a program to run."""

    kind: Kind
    content: bytes
    sha256: str
    weights: WeightsInfo


def run_program(
    package: Package, description: Description, before: Before, after: After, reasons: list[str]
) -> Checkpoint:
    """Run one of the package's programs: the first that is allowed; ONNX if no code may run.

    Parameters
    ----------
    package, description : Package, Description
        The files, and what they say.
    before, after : Before, After
        What is done to values around the network.
    reasons : list of str
        Why other weights cannot be used, as sentence parts.

    Raises
    ------
    ConsentNeeded
        If nobody allowed any of them.
    CheckpointError
        If there is none that can be run.
    """
    choices = list(_choices(package, description, reasons))
    asked: ConsentNeeded | None = None
    for choice in choices:
        if choice.kind == "onnx" and len(choices) > 1 and not refused():
            continue
        try:
            if choice.kind != "onnx":
                need_consent(choice.sha256, choice.kind, choice.weights.code or choice.weights.source)
        except ConsentNeeded as needed:
            asked = asked or needed
            continue
        return _run_choice(choice, package, description, before, after)
    if asked is None:
        raise CheckpointError(
            f"{package.name} holds no weights that can be used: {'; '.join(reasons) or 'none'}.", ADVICE
        )
    if any(choice.kind == "onnx" for choice in choices):
        hint = f"{asked.hint} Its ONNX weights need no code: --run-code never (they cannot be trained)."
        raise ConsentNeeded(asked.message, hint, asked.sha256, without=True)
    raise asked


def _choices(package: Package, description: Description, reasons: list[str]) -> list[Choice]:
    """Return the programs that are there, those first that can be trained and need the least trust."""
    found = []
    weights = description.weights
    kinds: tuple[Kind, ...] = ("torchscript", "onnx")
    for kind in kinds:
        info = weights.get(kind)
        if info is None:
            continue
        if not package.has(info.source):
            reasons.append(f"the {kind} weights {info.source} are not part of it")
            continue
        content = package.read(info.source)
        found.append(Choice(kind, content, checked_hash(content, info.sha256, info.source), info))
    info = weights.get("pytorch_state_dict")
    if info is not None and package.has(info.source):
        if info.code and package.has(info.code):
            code = package.read(info.code, MAX_CODE)
            found.append(Choice("python", code, checked_hash(code, info.code_sha256, info.code), info))
        elif info.library:
            call = library_call(info.library, info.function, info.arguments)
            found.append(Choice("library", call, hashlib.sha256(call).hexdigest(), info))
        elif info.code:
            reasons.append(f"the code of its network, {info.code}, is not part of it")
    others = sorted(set(weights) - {"torchscript", "onnx", "pytorch_state_dict"})
    if others:
        reasons.append(f"weights of the kind {', '.join(others)} cannot be run")
    return sorted(found, key=lambda one: ORDER.index(one.kind))


def _run_choice(choice: Choice, package: Package, description: Description, before: Before, after: After) -> Checkpoint:
    info = choice.weights
    name = info.code if choice.kind == "python" else package.name if choice.kind == "library" else info.source
    network = make_network(choice.kind, choice.content, choice.sha256, name, info.function, dict(info.arguments))
    if choice.kind in ("python", "library"):
        load_weights(network, read_state(package, info).tensors, package.name)
    sizes, halo = sizes_of(description, package.name)
    tests = proof_tensors(package, description)
    channels = description.inputs[0].channel.minimum if tests is None else int(tests[0].shape[1])
    if halo is None:
        sizes = replace(sizes, halo=measured_halo(network, channels, sizes))
    python = choice.kind == "python"
    program = Program(
        choice.kind,
        choice.sha256,
        name,
        sizes,
        info.function if python else "",
        dict(info.arguments) if python else {},
        before.steps,
        after.steps,
    )
    out_channels = description.outputs[0].channel.minimum if tests is None else tests[1].shape[1]
    output, _ = meaning_of(description.outputs[0], out_channels, after.activation)
    header = CheckpointHeader(
        name=description.name,
        config=None,
        normalization=before.normalization,
        output=output,
        provenance={"weights": choice.kind, "training": program.sentence},
        family="bioimage.io",
        ndim=cast(Literal[2, 3], len(sizes.minimum)),
        in_channels=channels,
        out_channels=out_channels,
        program=program,
    )
    return with_program(network, header, choice.content)
