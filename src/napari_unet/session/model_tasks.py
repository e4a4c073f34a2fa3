"""Job functions around models: screen and convert a file, make a new model."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from napari_unet.errors import ConsentNeeded
from napari_unet.jobs import JobContext
from napari_unet.learning.quick import blank_checkpoint
from napari_unet.model.header import CheckpointHeader, ClassInfo
from napari_unet.model.questions import Questions
from napari_unet.session.final import as_heir, heir_name


@dataclass(frozen=True)
class ImportRequest:
    """A checkpoint of any family, where to save it as ours, and the code in it that may run (see `consent`).

    ``ask`` tells whether somebody can be asked what its file does not say.
    """

    source: str
    target: str
    run_code: str | None = None
    ask: bool = False


@dataclass(frozen=True)
class Opened:
    """A file that was saved as one of ours, or what is to be asked before.

    Parameters
    ----------
    path : str
        Of our file; empty while questions are open.
    header : CheckpointHeader
        What it says.
    questions : Questions or None
        What no file says.
    answered : bool
        Whether what was said about it before counts.
    """

    path: str
    header: CheckpointHeader
    questions: Questions | None = None
    answered: bool = False


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


def import_checkpoint(context: JobContext, request: ImportRequest) -> Opened | ConsentNeeded:
    """Load a file of any family and save it as a checkpoint of ours, unless something is to be asked.

    Where it contains code that nobody allowed, the question about that is returned.
    """
    from napari_unet.model.asking import open_asking
    from napari_unet.model.checkpoint import load_checkpoint

    context.progress(0, 1, "opening")
    questions = None
    try:
        if request.ask:
            checkpoint, questions = open_asking(request.source, request.run_code)
        else:
            checkpoint = load_checkpoint(request.source, request.run_code)
    except ConsentNeeded as question:
        return question
    if questions is not None:
        return Opened("", checkpoint.header, questions)
    checkpoint.save(request.target)
    header = checkpoint.header
    said = header.origin is not None and any(finding.how == "said" for finding in header.origin.findings)
    return Opened(request.target, header, answered=said)


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
