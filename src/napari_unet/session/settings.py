"""What the user may set once for all images."""

from __future__ import annotations

from dataclasses import dataclass, field

from napari_unet.inference.labels.objects import ObjectSettings
from napari_unet.inference.options import PredictOptions


@dataclass(frozen=True)
class SessionSettings:
    """What the user may set once for all images.

    Parameters
    ----------
    device : str
        "auto", "cpu", "cuda:0", "mps", …
    precision : str
        "auto", "float32" or "bfloat16".
    objects : ObjectSettings
        How scores become labels.
    options : PredictOptions
        How the model is run over an image.
    first_seconds, first_steps : float, int or None
        Budget of a quick refit, and of the round that starts by itself once two classes of a new model are
        painted; steps instead of seconds where it has to be repeatable.
    refit_when_pausing : bool
        Refit by itself whenever the user pauses after a correction.
    seed : int
        Seed of training and of the choice of validation blocks.
    """

    device: str = "auto"
    precision: str = "auto"
    objects: ObjectSettings = field(default_factory=ObjectSettings)
    first_seconds: float = 2.5
    first_steps: int | None = None
    refit_when_pausing: bool = False
    seed: int = 0
    options: PredictOptions = field(default_factory=PredictOptions)
