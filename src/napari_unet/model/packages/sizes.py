"""Which inputs a package's network takes, from its description. Free of torch."""

from __future__ import annotations

from napari_unet.errors import CheckpointError
from napari_unet.model.packages.description import ADVICE, Axis, Description
from napari_unet.model.program import Sizes


def sizes_of(description: Description, name: str) -> tuple[Sizes, bool | None]:
    """Return the legal sizes, and whether the package states a halo.

    Parameters
    ----------
    description : Description
        One input, one output.
    name : str
        Of the package, for messages.

    Raises
    ------
    CheckpointError
        If the output has another scale than the input.
    """
    given, result = description.inputs[0].space, description.outputs[0].space
    new = description.version.startswith("0.5")
    crop = tuple(_crop(a, b, new, name) for a, b in zip(given, result, strict=True))
    halo = tuple(axis.halo + c for axis, c in zip(result, crop, strict=True))
    minimum = tuple(axis.minimum for axis in given)
    sizes = Sizes(minimum, tuple(axis.step for axis in given), crop, halo)
    return sizes, True if any(axis.halo for axis in result) else None


def _crop(given: Axis, result: Axis, new: bool, name: str) -> int:
    """Return how many voxels the output lacks at each side along one axis."""
    if new and result.step == 0:
        lost = float(given.minimum - result.minimum)  # both sizes are fixed
        ratio = 1.0
    elif new:
        ratio, lost = given.factor / result.factor, -result.change
    elif result.step == 0 and given.step == 0:
        ratio, lost = 1.0, float(given.minimum - result.minimum)
    else:
        ratio, lost = result.factor, -result.change
    if ratio != 1 or lost < 0 or lost % 2:
        raise CheckpointError(
            f"{name} returns an output of another scale than its input along {given.letter}.",
            f"Only networks that keep the voxel size can be used. {ADVICE}",
        )
    return int(lost // 2)
