"""What the channels of a package's output mean, as far as it says. Free of torch."""

from __future__ import annotations

from typing import Literal, cast

from napari_unet.model.header import COLORS, ClassInfo, Output
from napari_unet.model.outputs import OBJECTS, class_output, default_output
from napari_unet.model.packages.description import TensorInfo

BOUNDARY = ("boundary", "boundaries", "border", "borders", "edge", "edges", "membrane", "membranes", "contour")
FOREGROUND = ("foreground", "interior", "nuclei", "nucleus", "cell", "cells", "object", "objects", "mask", "body")

Activation = Literal["sigmoid", "softmax", "none"]


def meaning_of(tensor: TensorInfo, channels: int, activation: str) -> tuple[Output, tuple[str, ...]]:
    """Choose what the channels mean.

    Parameters
    ----------
    tensor : TensorInfo
        The output, with the names of its channels where the package has them.
    channels : int
        Of the network's output.
    activation : str
        What still turns them into scores.

    Returns
    -------
    Output
        Its activation is the given one.
    tuple of str
        What was assumed, as sentences.
    """
    active = cast(Activation, activation)
    names = tensor.channel.names if len(tensor.channel.names) == channels else ()
    if channels == 1:
        output = default_output(1)
        name = names[0] if names and names[0].lower() not in ("probability", "channel0", "") else "foreground"
        classes = (output.classes[0], ClassInfo(name, COLORS[1])) if name != "background" else output.classes
        return Output("binary", active, ("foreground",), classes), ()
    lower = tuple(name.lower() for name in names)
    boundary = next((n for n, name in enumerate(lower) if name in BOUNDARY), None)
    inside = next((n for n, name in enumerate(lower) if name in FOREGROUND), None)
    if boundary is not None and inside is not None:
        renamed = list(names)
        renamed[boundary], renamed[inside] = "boundary", "interior"
        return Output("instances", active, tuple(renamed), OBJECTS), (
            f"The channels {names[inside]!r} and {names[boundary]!r} are taken for inside and boundary of objects.",
        )
    if not names and channels == 2 and activation == "sigmoid":
        return Output("instances", active, ("interior", "boundary"), OBJECTS), (
            "The package does not name its two channels; they are taken for the inside and the boundary of objects.",
        )
    if len(set(names)) == channels and all(names):
        classes = tuple(ClassInfo(name, COLORS[n % len(COLORS)]) for n, name in enumerate(names))
        output, said = class_output(classes), f"The first channel, {names[0]!r}, is taken for the background."
        return Output("classes", active, output.channels, output.classes), (() if "background" in lower else (said,))
    output = default_output(channels)
    return Output("classes", active, output.channels, output.classes), (
        "The package does not name its channels: each is taken for a class, the first for the background.",
    )
