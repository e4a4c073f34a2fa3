"""A first result within seconds: from two strokes, with or without a parent."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from napari_unet.errors import TrainingError
from napari_unet.learning.settings import TrainSettings
from napari_unet.model.builtin import general_parent
from napari_unet.model.config import UNetConfig
from napari_unet.model.header import ClassInfo

if TYPE_CHECKING:
    from napari_unet.model.checkpoint import Checkpoint

# Two wide levels: in the thirty steps that three seconds on one core give, they learn more than three narrow ones.
FEATURES: dict[int, tuple[int, ...]] = {2: (32, 64), 3: (16, 32)}
# In the minute of a round, networks that see further learn more: cells in phase contrast are no matter of texture.
FULL_FEATURES: dict[int, tuple[int, ...]] = {2: (16, 32, 64, 128), 3: (16, 32, 64)}
FIRST_LOOK = "first_look"  # key of the provenance of models that have the small network
GENERAL = "general_parent"  # key of the provenance: the built-in checkpoint whose features a new model has

# All layers learn, and statistics stay: with thirty steps there is no time for them to settle.
QUICK: dict[str, Any] = {"new_rate": 5e-3, "rate": 1e-3, "encoder_rate": 1e-3, "statistics_share": 0.0}


def warm_optimizer() -> None:
    """Have torch import what its optimizers take: it puts that off until the first is made, and it takes seconds."""
    import torch

    torch.optim.AdamW([torch.zeros(1)])


def blank_checkpoint(
    classes: tuple[ClassInfo, ...], ndim: Literal[2, 3], in_channels: int, name: str, seed: int = 0
) -> Checkpoint:
    """Return a small untrained U-Net for the user's own classes.

    Parameters
    ----------
    classes : tuple of ClassInfo
        The background first; two or more.
    ndim : {2, 3}
        Spatial dimensions.
    in_channels : int
        Channels of the image.
    name : str
        Name to show.
    seed : int
        Of the initial weights.

    Raises
    ------
    TrainingError
        If there are fewer than two classes.
    """
    from napari_unet.model.checkpoint import Checkpoint

    if len(classes) < 2:
        raise TrainingError(f"A model got {len(classes)} classes; expected two or more.", "Name another class.")
    config = UNetConfig(ndim=ndim, in_channels=in_channels, out_channels=len(classes), features=FEATURES[ndim])
    blank = Checkpoint.from_config(config, classes, name=name, seed=seed)
    return replace(blank, header=replace(blank.header, provenance={FIRST_LOOK: True}))


def starting_point(checkpoint: Checkpoint, quick: bool, seed: int = 0) -> Checkpoint:
    """Return what a round starts from: a fresh network where the current model is a first look, else the checkpoint.

    A first look has learned from a few strokes all too well: going on from it forgets less than it learns.

    Parameters
    ----------
    checkpoint : Checkpoint
        The current model.
    quick : bool
        The round has seconds only: the fresh network is small again, otherwise of full size.
    seed : int
        Of the initial weights.
    """
    if not quick:
        return full_sized(checkpoint, seed)
    return _afresh(checkpoint, FEATURES[checkpoint.header.ndim], seed) if _is_first_look(checkpoint) else checkpoint


def full_sized(checkpoint: Checkpoint, seed: int = 0) -> Checkpoint:
    """Return a network of full size for a first look, else the checkpoint.

    It is the general parent with a fresh head where there is one for such images, otherwise an untrained network.

    Parameters
    ----------
    checkpoint : Checkpoint
        The current model.
    seed : int
        Of the initial weights.
    """
    if not _is_first_look(checkpoint):
        return checkpoint
    parent = general_parent(checkpoint.header.ndim, checkpoint.header.in_channels)
    if parent is not None:
        return _from_general(parent, checkpoint)
    return untrained(checkpoint, seed)


def untrained(first: Checkpoint, seed: int = 0) -> Checkpoint:
    """Return an untrained network of full size with the inputs and classes of a first look.

    Parameters
    ----------
    first : Checkpoint
        The first look.
    seed : int
        Of the initial weights.
    """
    full = _afresh(first, FULL_FEATURES[first.header.ndim], seed)
    return replace(full, header=replace(full.header, provenance={}))


def _from_general(name: str, first: Checkpoint) -> Checkpoint:
    """Return a general parent with the classes of a first look and images prepared as for it."""
    from napari_unet.model.checkpoint import load_checkpoint
    from napari_unet.model.gray import for_gray
    from napari_unet.model.heads import FRESH_HEAD

    before = first.header
    general = load_checkpoint(name).with_classes(before.output.classes)
    if before.in_channels == 1 and general.header.in_channels > 1:
        general = for_gray(general)
    header = replace(
        general.header,
        name=before.name,
        normalization=before.normalization,
        parent=before.weights_hash,
        weights_hash="",
        provenance={GENERAL: name, FRESH_HEAD: True},
    )
    return replace(general, header=header)


def _is_first_look(checkpoint: Checkpoint) -> bool:
    return checkpoint.header.config is not None and bool(checkpoint.header.provenance.get(FIRST_LOOK))


def _afresh(checkpoint: Checkpoint, features: tuple[int, ...], seed: int) -> Checkpoint:
    """Return an untrained network with the checkpoint's inputs and classes."""
    from napari_unet.model.checkpoint import Checkpoint

    header = checkpoint.header
    if header.config is None:
        raise TrainingError(f"The model {header.name!r} is no U-Net of our own.", "Train it as it is.")
    config = replace(header.config, features=features)
    fresh = Checkpoint.from_config(config, header.output.classes, name=header.name, seed=seed)
    return replace(fresh, header=replace(header, config=config, parent=header.weights_hash, weights_hash=""))


def quick_settings(settings: TrainSettings) -> TrainSettings:
    """Return settings of the same budget that learn fast rather than well: for a first result within seconds."""
    return replace(settings, **QUICK)
