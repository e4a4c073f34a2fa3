"""A first result within seconds: from two strokes, with or without a parent."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from napari_unet.errors import TrainingError
from napari_unet.learning.settings import TrainSettings
from napari_unet.model.config import UNetConfig
from napari_unet.model.header import ClassInfo

if TYPE_CHECKING:
    from napari_unet.model.checkpoint import Checkpoint

# Two wide levels: in the thirty steps that three seconds on one core give, they learn more than three narrow ones.
FEATURES: dict[int, tuple[int, ...]] = {2: (32, 64), 3: (16, 32)}

# High rates, and statistics that stay: with thirty steps there is no time for either to settle.
QUICK: dict[str, Any] = {"new_rate": 5e-3, "rate": 3e-3, "encoder_rate": 3e-3, "statistics_share": 0.0}


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
    return Checkpoint.from_config(config, classes, name=name, seed=seed)


def quick_settings(settings: TrainSettings) -> TrainSettings:
    """Return settings of the same budget that learn fast rather than well: for a first result within seconds."""
    return replace(settings, **QUICK)
