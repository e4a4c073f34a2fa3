"""How a model is run over an image, beyond the model itself. Free of torch."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

from napari_unet.errors import UserError


@dataclass(frozen=True)
class PredictOptions:
    """How a model is run over an image.

    Parameters
    ----------
    flips : bool
        Average the scores over mirrored versions of each tile: slower, a little more reliable.
    join_z : bool
        For 2D models over stacks: join the objects of neighbouring planes where they overlap.
    three_directions : bool
        For 2D models over stacks: average the scores of the planes in all three directions and find objects in 3D.
    rescale : bool
        Run on the image rescaled to the model's voxel size, where both sizes are known and differ clearly.
    diameter : float or None
        Typical diameter of the objects in pixels of the image: it is rescaled so that they are as large as the model
        knows them, whatever the voxel sizes say.
    find_size : bool
        Estimate that diameter by a first coarse pass, where neither it nor both voxel sizes are known.
    memory_gb : float or None
        Memory to work with, in GB (10⁹ bytes); half of what is free when omitted.

    Raises
    ------
    UserError
        If a value is out of range.
    """

    flips: bool = False
    join_z: bool = True
    three_directions: bool = False
    rescale: bool = True
    diameter: float | None = None
    find_size: bool = False
    memory_gb: float | None = None

    def __post_init__(self) -> None:
        for name in ("flips", "join_z", "three_directions", "rescale", "find_size"):
            if not isinstance(getattr(self, name), bool):
                raise UserError(
                    f"The option {name!r} is {getattr(self, name)!r}; expected true or false.", "Set it so."
                )
        if self.diameter is not None and not (isfinite(self.diameter) and self.diameter > 0):
            raise UserError(
                f"The diameter of the objects is {self.diameter} pixels; expected a number above 0.",
                "Leave it out if it is not known.",
            )
        if self.memory_gb is not None and not (isfinite(self.memory_gb) and self.memory_gb > 0):
            raise UserError(
                f"The memory to work with is {self.memory_gb} GB; expected a number above 0.",
                "Leave it out to use half of what is free.",
            )

    def object_ndim(self, ndim: int, depth: int) -> int:
        """Return in how many dimensions a model of `ndim` finds the objects of an image of `depth` planes: 2 or 3."""
        return 3 if ndim == 3 or (self.three_directions and depth > 1) else 2
