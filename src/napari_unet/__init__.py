"""Interactive segmentation with U-Nets: in napari, from Python and from the command line.

The names below are loaded on first use, so that importing the package does not import torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_unet.inference.predictor import Predictor
    from napari_unet.learning.trainer import Trainer
    from napari_unet.model.checkpoint import Checkpoint, load_checkpoint
    from napari_unet.model.config import UNetConfig
    from napari_unet.model.unet import UNet

__version__ = "0.1.0"

__all__ = ["Checkpoint", "Predictor", "Trainer", "UNet", "UNetConfig", "__version__", "load_checkpoint"]

_HOME = {
    "Checkpoint": "napari_unet.model.checkpoint",
    "Predictor": "napari_unet.inference.predictor",
    "Trainer": "napari_unet.learning.trainer",
    "UNet": "napari_unet.model.unet",
    "UNetConfig": "napari_unet.model.config",
    "load_checkpoint": "napari_unet.model.checkpoint",
}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
