"""The kinds of checkpoint that are recognized, one short module each, tried in order.

A family looks at names and shapes only, infers the network, and proves the guess by a strict load. Where the network is
a plain U-Net, it becomes our own `UNet` under other names (`remapping`); where a library defines it, the library builds
it (`borrowing`), and is named by the error that misses it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from napari_unet.errors import CheckpointError

if TYPE_CHECKING:
    from torch import Tensor

    from napari_unet.model.answers import Answers
    from napari_unet.model.checkpoint import Checkpoint
    from napari_unet.model.reading import Weights

MAX_PREFIXES = 64
LEFT_OUT = "left out"
LEAST_TENSORS = 4


class Family(Protocol):
    """What each family module offers."""

    NAME: str

    def recognize(self, weights: Weights) -> bool:
        """Return whether names and shapes look like this family."""
        ...

    def build(self, weights: Weights) -> Checkpoint:
        """Return the checkpoint, or raise CheckpointError if the weights do not fit."""
        ...

    def pack(self, checkpoint: Checkpoint) -> Mapping[str, Tensor]:
        """Return the weights under the family's own names; only for checkpoints with an origin of this family."""
        ...


def families() -> tuple[Family, ...]:
    """Return the families in the order in which they are tried."""
    from napari_unet.model.families import (
        bioimageunet,
        milesial,
        monai_basic,
        monai_dynunet,
        monai_unet,
        native,
        nnunet,
        platelet,
        pytorch3dunet,
        smp,
        torchem,
    )

    return (
        native,
        milesial,
        pytorch3dunet,
        monai_basic,
        monai_unet,
        monai_dynunet,
        nnunet,
        smp,
        torchem,
        bioimageunet,
        platelet,
    )


def family_named(name: str) -> Family | None:
    """Return the family of that name."""
    return next((family for family in families() if name == family.NAME), None)


def build_checkpoint(weights: Weights) -> Checkpoint:
    """Let the first family that recognizes the tensors build the checkpoint.

    Where none does, the network may be a part of what was saved, as in a Lightning module with a loss: then the
    parts are tried under each prefix, the largest first.

    Raises
    ------
    CheckpointError
        If no family recognizes them, or they do not fit the family's network.
    """
    for part in (weights, *_parts(weights)):
        for family in families():
            if family.recognize(part):
                checkpoint = _built(family, part)
                return checkpoint if part is weights else _with_rest(checkpoint, weights, part)
    names = ", ".join(family.NAME for family in families())
    first = ", ".join(list(weights.tensors)[:3]) or "nothing"
    raise CheckpointError(
        f"{weights.path.name} holds the weights of a network that is not known "
        f"({len(weights.tensors)} tensors: {first}, …).",
        f"Known are: {names}. From Python, any network runs through Checkpoint.from_module.",
    )


def open_weights(weights: Weights, given: Answers | None = None) -> Checkpoint:
    """Build the checkpoint of a file or folder, with what its user said about exactly these weights.

    Parameters
    ----------
    weights : Weights
        What the file held.
    given : Answers, optional
        What was said; by default what is remembered beside the file.

    Raises
    ------
    CheckpointError
        As `build_checkpoint`, or if what was said does not fit.
    """
    from napari_unet.model.answers import answered, read_answers
    from napari_unet.model.tensorfile import HEADER_KEY
    from napari_unet.model.turning import turned
    from napari_unet.model.weights import hash_tensors

    answers = None if HEADER_KEY in weights.metadata else given or read_answers(weights.path)
    if answers is None:
        return build_checkpoint(weights)
    if answers.weights != hash_tensors(weights.tensors):
        raise CheckpointError(
            f"What was said about {weights.path.name} was said about other weights.",
            "Say it again with 'napari-unet inspect FILE --say …', or delete the .napari-unet.json file beside it.",
        )
    architecture = {"callable": "", "kwargs": {**weights.told, **answers.arguments}}
    told = {"architecture": architecture} if answers.arguments else {}
    checkpoint = build_checkpoint(replace(weights, documents={**weights.documents, **told}))
    checkpoint.header = answered(checkpoint.header, answers)
    return turned(checkpoint, answers.axes)


def _built(family: Family, weights: Weights) -> Checkpoint:
    """Build, and say it in a sentence if what is stated beside the weights cannot be used."""
    try:
        return family.build(weights)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"What is stated beside the weights of {weights.path.name} does not describe a network of {family.NAME} "
            f"({type(error).__name__}: {str(error)[:200]}).",
            "Open the file with weights alone, or use the program that made it to save it again.",
        ) from error


def pack_weights(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return the state dict of a checkpoint under the names of the family that it came from.

    Raises
    ------
    CheckpointError
        If it came from no other family.
    """
    origin = checkpoint.header.origin
    family = None if origin is None else family_named(origin.family)
    if origin is None or family is None:
        raise CheckpointError(
            f"{checkpoint.header.name} did not come from another program, so there is no other format to write.",
            "Export it as .safetensors, bioimage.io, TorchScript or ONNX.",
        )
    from napari_unet.model.turning import KEY, turned_back

    try:
        tensors = turned_back(family.pack(checkpoint), str(origin.details.get(KEY, "")))
    except (KeyError, ValueError) as error:
        raise CheckpointError(
            f"{checkpoint.header.name} has no longer a network of {family.NAME} ({error}).",
            "Export it as .safetensors, bioimage.io, TorchScript or ONNX.",
        ) from error
    return {origin.prefix + name: tensor.detach().cpu() for name, tensor in tensors.items()}


def _with_rest(checkpoint: Checkpoint, weights: Weights, part: Weights) -> Checkpoint:
    """Say what of a file does not belong to its network."""
    from napari_unet.model.origin import Finding

    prefix = part.prefix.removeprefix(weights.prefix)
    rest = [name for name in weights.tensors if not name.startswith(prefix)]
    origin = checkpoint.header.origin
    if origin is not None:
        said = Finding(LEFT_OUT, f"{len(rest)} tensors outside of {prefix}* ({', '.join(rest[:3])}, …)", "file")
        checkpoint.header = replace(checkpoint.header, origin=replace(origin, findings=(*origin.findings, said)))
    return checkpoint


def _parts(weights: Weights) -> list[Weights]:
    """Return what stands under each prefix, the largest part first."""
    counts: dict[str, int] = {}
    for name in weights.tensors:
        pieces = name.split(".")
        for depth in (1, 2):
            prefix = ".".join(pieces[:depth]) + "."
            if len(pieces) > depth:
                counts[prefix] = counts.get(prefix, 0) + 1
    some = sorted((count, prefix) for prefix, count in counts.items() if LEAST_TENSORS <= count < len(weights.tensors))
    return [weights.below(prefix) for _, prefix in some[::-1][:MAX_PREFIXES]]
