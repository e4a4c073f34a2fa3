"""Regions chosen at random and labelled without seeing a prediction: the only ones that tell accuracy."""

from __future__ import annotations

from dataclasses import dataclass

from napari_unet.image.boxes import Box


@dataclass(frozen=True)
class AuditRegion:
    """One random check.

    Such regions never train, never validate and never select a model.

    Parameters
    ----------
    image_id : str
        Which image.
    t : int
        Time point.
    box : Box
        Where, (z, y, x).
    minutes : float
        The user's active minutes when it was done.
    score : float or None
        Of the prediction that was hidden, 0 to 1; None where there was none.
    weights_hash : str
        Of the model that made the hidden prediction; empty where there was none.
    """

    image_id: str
    t: int
    box: Box
    minutes: float
    score: float | None
    weights_hash: str
