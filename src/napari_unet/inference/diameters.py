"""Rescaling to the size of objects that a model knows, from a diameter in the image. Free of torch.

::

    image      ◯     ◯  ◯        diameter in the image: typed, drawn, or found by a first coarse pass
    network    o     o  o        diameter that the model knows (its header)
    labels     ◯     ◯  ◯        on the image's grid
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_unet.image.boxes import triple
from napari_unet.image.source import ImageSource
from napari_unet.inference.rescaling import IMPLAUSIBLE, TOLERATED, UNKNOWN_SPACING, Rescaling, choose_rescaling

if TYPE_CHECKING:
    from napari_unet.inference.options import PredictOptions
    from napari_unet.model.header import CheckpointHeader

UNKNOWN_TO_MODEL = "The model does not say how large the objects are that it knows: their diameter has no effect."


@dataclass(frozen=True)
class FoundSize:
    """What a first coarse pass told of the objects of an image.

    Parameters
    ----------
    diameter : float or None
        Typical diameter in voxels along x; None if it could not be told.
    objects : int
        How many objects it is the median of.
    sample : str
        What was looked at, in words.
    """

    diameter: float | None
    objects: int
    sample: str

    @property
    def sentence(self) -> str:
        """What was found, in words."""
        if self.diameter is None:
            return f"How large the objects are could not be told from {self.sample}: the image was not rescaled."
        return f"The objects are about {self.diameter:.3g} pixels wide, by {self.objects} found in {self.sample}."


def wants_estimate(source: ImageSource, header: CheckpointHeader, options: PredictOptions) -> bool:
    """Whether the diameter of the objects is to be found by a first coarse pass."""
    if not options.find_size or options.diameter is not None or header.object_diameter is None:
        return False
    if header.output.kind == "classes":
        return False
    return not options.rescale or header.voxel_size is None or source.scale_um is None


def network_grid(
    source: ImageSource,
    header: CheckpointHeader,
    options: PredictOptions,
    found: FoundSize | None = None,
    *,
    isotropic: bool = False,
) -> tuple[Rescaling | None, str]:
    """Choose the network's grid: by the diameter that the user gave, else by both voxel sizes, else by what was found.

    Parameters
    ----------
    source, header, isotropic
        See `rescaling_by_diameter`.
    options : PredictOptions
        The diameter, and whether voxel sizes count.
    found : FoundSize, optional
        What a first coarse pass told.

    Returns
    -------
    Rescaling or None
    str
        What the user should know, as sentences; empty if nothing.
    """
    if options.diameter is not None:
        return rescaling_by_diameter(source, header, options.diameter, isotropic=isotropic)
    if found is not None and found.diameter is not None:
        rescaling, note = rescaling_by_diameter(source, header, found.diameter, isotropic=isotropic)
    else:
        rescaling, note = choose_rescaling(source, header.voxel_size, wanted=options.rescale, isotropic=isotropic)
    return rescaling, " ".join(text for text in (found.sentence if found else "", note) if text)


def rescaling_by_diameter(
    source: ImageSource, header: CheckpointHeader, diameter: float, *, isotropic: bool = False
) -> tuple[Rescaling | None, str]:
    """Rescale an image so that its objects are as large as the model knows them.

    Parameters
    ----------
    source : ImageSource
        The image.
    header : CheckpointHeader
        Of the model. A 2D model leaves z as it is, a 3D model keeps the ratio of the axes.
    diameter : float
        Of the objects, in voxels along x of the image.
    isotropic : bool
        A 2D model looks along all three axes: z is to be as fine as y and x.

    Returns
    -------
    Rescaling or None
        None where the sizes agree within `TOLERATED`, or differ so much that one must be mistaken.
    str
        What the user should know, as a sentence; empty if nothing.
    """
    if header.object_diameter is None:
        return None, UNKNOWN_TO_MODEL
    factor = header.object_diameter / diameter
    sizes = f"The objects are {diameter:.3g} pixels wide, those of the model {header.object_diameter:.3g}"
    if not 1 / IMPLAUSIBLE <= factor <= IMPLAUSIBLE:
        return None, f"{sizes}: that differs more than {IMPLAUSIBLE:g} times, and nothing was rescaled."
    along_z, note = factor if header.ndim == 3 else 1.0, ""
    if isotropic:
        size = source.scale_um
        along_z = factor if size is None else factor * size[0] / sqrt(size[1] * size[2])
        note = "" if size is not None else " " + UNKNOWN_SPACING
    factors = (along_z, factor, factor)
    if all(1 / TOLERATED <= one <= TOLERATED for one in factors):
        return None, f"{sizes}: nothing was rescaled."
    lengths = source.shape[1:]
    rescaling = Rescaling(
        triple(lengths), triple(max(1, round(n * one)) for n, one in zip(lengths, factors, strict=True))
    )
    if rescaling.image == rescaling.network:
        return None, ""
    times = f"{factor:.3g} times larger" if factor > 1 else f"{1 / factor:.3g} times smaller"
    return rescaling, f"{sizes}: the model sees the image {times}; labels are on the image's grid.{note}"


def depth_of_voxels(source: ImageSource) -> float:
    """Return how many pixels along x lie between two planes; 1 where the voxel size is unknown."""
    return 1.0 if source.scale is None else source.scale[0] / source.scale[2]


def equivalent_diameters(sizes: npt.NDArray[Any], ndim: int) -> npt.NDArray[np.float64]:
    """Return the diameters of the discs (`ndim` 2) or balls (3) of these areas or volumes.

    Examples
    --------
    >>> equivalent_diameters(np.array([np.pi * 10**2]), 2)
    array([20.])
    """
    values = np.asarray(sizes, np.float64)
    return 2 * np.sqrt(values / np.pi) if ndim == 2 else 2 * np.cbrt(3 * values / (4 * np.pi))
