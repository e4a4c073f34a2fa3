"""What a user left as it was beside what they changed: they looked there, and it was right enough to stay."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_unet.model.header import Output

Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

NEAR = 16.0  # pixels around what was changed, in its plane, that are taken to have been looked at
LEFT_WEIGHT = 0.5  # weight of what was left as it was, beside 1 of what is known
SELECTIVE = 0.5  # share of what is known that was wrong, from which the screen led the brush


def uncorrected(
    labels: npt.NDArray[np.int64], known: Mask, changed: Mask, shown: Mask, output: Output
) -> Floats | None:
    """Return what was left as it was beside a change, as scores to learn from.

    Who paints nothing but errors says nothing of what is right, and a network that learns from errors alone comes to
    believe that all was wrong. Who paints here and there, whatever is on screen, leaves what is wrong as well.

    Parameters
    ----------
    labels : ndarray of int, (Z, Y, X)
        What is on screen: the user's values where known, predictions elsewhere.
    known, changed, shown : ndarray of bool, (Z, Y, X)
        What the user said anything about, what they set to something else than was predicted, and where a prediction
        was on screen.
    output : Output
        What the channels mean.

    Returns
    -------
    ndarray of float32, (channels, Z, Y, X), or None
        `LEFT_WEIGHT` for the class on screen, all 0 elsewhere. None where there is nothing of the kind, where less than
        `SELECTIVE` of what is known was wrong, and for models of objects, whose known objects come with a rim.
    """
    wrong = np.count_nonzero(changed)
    if output.kind != "classes" or wrong == 0 or wrong < SELECTIVE * np.count_nonzero(known):
        return None
    near = shown & ~known
    near &= ndimage.distance_transform_edt(~changed, sampling=(2 * NEAR, 1, 1)) <= NEAR
    if not near.any():
        return None
    found = np.zeros((len(output.channels), *labels.shape), np.float32)
    place = np.nonzero(near)
    found[(labels[place], *place)] = LEFT_WEIGHT
    return found
