"""Job functions around models: screen and convert a file, make a new model."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from napari_unet.errors import ConsentNeeded
from napari_unet.jobs import JobContext
from napari_unet.learning.quick import blank_checkpoint
from napari_unet.model.header import CheckpointHeader, ClassInfo
from napari_unet.session.final import as_heir, heir_name


@dataclass(frozen=True)
class ImportRequest:
    """A checkpoint of any family, where to save it as ours, and the code in it that may run (see `consent`)."""

    source: str
    target: str
    run_code: str | None = None


@dataclass(frozen=True)
class NewModelRequest:
    """A model to make.

    Parameters
    ----------
    classes : tuple of ClassInfo
        The background first.
    parent : str or None
        Whose features it starts from; None for a new network.
    ndim, in_channels : int
        Of a new network.
    name : str
        Name to show.
    target : str
        Where to save it.
    seed : int
        Of the random weights.
    """

    classes: tuple[ClassInfo, ...]
    parent: str | None
    ndim: Literal[2, 3]
    in_channels: int
    name: str
    target: str
    seed: int


def import_checkpoint(context: JobContext, request: ImportRequest) -> tuple[str, CheckpointHeader] | ConsentNeeded:
    """Load a file of any family and save it as a checkpoint of ours; return its path and header.

    Where it contains code that nobody allowed, the question is returned, to be asked.
    """
    from napari_unet.model.checkpoint import load_checkpoint

    context.progress(0, 1, "opening")
    try:
        checkpoint = load_checkpoint(request.source, request.run_code)
    except ConsentNeeded as question:
        return question
    checkpoint.save(request.target)
    return request.target, checkpoint.header


def new_model(context: JobContext, request: NewModelRequest) -> tuple[str, CheckpointHeader]:
    """Make a model with the classes asked for, save it, and return its path and header."""
    from napari_unet.model.checkpoint import load_checkpoint

    context.progress(0, 1, "making the model")
    if request.parent is None:
        checkpoint = blank_checkpoint(request.classes, request.ndim, request.in_channels, request.name, request.seed)
    else:
        parent = load_checkpoint(request.parent)
        checkpoint = parent.with_classes(request.classes)
        name = heir_name(parent.header) if request.name == parent.header.name else request.name
        checkpoint.header = replace(as_heir(checkpoint.header), name=name)
    checkpoint.save(request.target)
    return request.target, checkpoint.header
