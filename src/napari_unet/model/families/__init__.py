"""The kinds of checkpoint that are recognized, one short module each, tried in order.

A family has ``NAME``; ``recognize(tensors, metadata) -> bool``, which looks at names and shapes only;
and ``build(tensors, metadata, path) -> Checkpoint``, which proves the guess by a strict load.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from napari_unet.errors import CheckpointError

if TYPE_CHECKING:
    from torch import Tensor

    from napari_unet.model.checkpoint import Checkpoint


class Family(Protocol):
    """What each family module offers."""

    NAME: str

    def recognize(self, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bool:
        """Return whether names and shapes look like this family."""
        ...

    def build(self, tensors: Mapping[str, Tensor], metadata: Mapping[str, str], path: Path) -> Checkpoint:
        """Return the checkpoint, or raise CheckpointError if the weights do not fit."""
        ...


def families() -> tuple[Family, ...]:
    """Return the families in the order in which they are tried."""
    from napari_unet.model.families import milesial, native

    return native, milesial


def build_checkpoint(tensors: Mapping[str, Tensor], metadata: Mapping[str, str], path: Path) -> Checkpoint:
    """Let the first family that recognizes the tensors build the checkpoint.

    Raises
    ------
    CheckpointError
        If no family recognizes them, or they do not fit the family's network.
    """
    for family in families():
        if family.recognize(tensors, metadata):
            return family.build(tensors, metadata, path)
    names = ", ".join(family.NAME for family in families())
    first = ", ".join(list(tensors)[:3]) or "nothing"
    raise CheckpointError(
        f"{path.name} holds the weights of a network that is not known ({len(tensors)} tensors: {first}, …).",
        f"Known are: {names}. From Python, any network runs through Checkpoint.from_module.",
    )
